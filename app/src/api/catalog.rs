//! The catalog: templates on offer, and the form of an order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ParkView;

/// Pictures a template may have on its cover, all of the pages' icon set.
pub const TEMPLATE_ICONS: [&str; 20] = [
    "book-open",
    "box",
    "code",
    "container",
    "cpu",
    "database",
    "flask-conical",
    "globe",
    "hard-drive",
    "key-round",
    "layers",
    "library",
    "list-todo",
    "monitor",
    "network",
    "package-open",
    "server",
    "square-terminal",
    "workflow",
    "wrench",
];

/// A template as the catalog page shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct CatalogEntry {
    /// Unique, lower case: what orders name.
    pub name: String,
    /// The version on offer.
    pub version: String,
    pub title: String,
    pub summary: String,
    pub category: String,
    pub tags: Vec<String>,
    /// One of [`TEMPLATE_ICONS`].
    pub icon: Option<String>,
    pub maintainer: Option<String>,
    /// Its curators put it on the first shelf.
    pub featured: bool,
    /// Commands its servers require, each once: what software is in it, as far as that is known.
    pub software: Vec<String>,
    /// When the version on offer came, Unix milliseconds; absent while there is none.
    pub offered_since: Option<i64>,
    /// With the parameters' defaults.
    pub server_count: u32,
    pub volume_count: u32,
    /// Why it cannot be ordered here and now (a command the host lacks), in words; absent when it can.
    pub unavailable: Option<String>,
    /// The newest file of this template is broken: the error. The last good version stays on offer.
    pub broken: Option<String>,
    /// An order may leave every parameter to its default.
    pub asks_nothing: bool,
    /// When the person who asks last ordered it, Unix milliseconds; absent when that was long ago or never.
    pub ordered_by_me_at: Option<i64>,
    /// How past orders of it went; absent when there were none.
    pub record: Option<TemplateRecord>,
}

/// What past orders of a template tell, all its versions and the whole team together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct TemplateRecord {
    /// All orders there ever were.
    pub orders: u64,
    /// When the last of them was, Unix milliseconds.
    pub last_ordered_at: i64,
    /// Among the last 100 orders, those that became ready, or ended without having been. What is on its way counts later.
    pub decided: u64,
    /// How many of these became ready.
    pub became_ready: u64,
    /// From the order until everything was healthy for the first time, milliseconds: half of them took no longer. Absent when
    /// none became ready.
    pub ready_p50_ms: Option<i64>,
    /// 95 of 100 took no longer.
    pub ready_p95_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct TemplateDetail {
    #[serde(flatten)]
    pub entry: CatalogEntry,
    /// Long description, Markdown.
    pub description: String,
    pub parameters: Vec<ParameterSpec>,
    pub presets: Vec<Preset>,
    pub servers: Vec<TemplateServer>,
    pub volumes: Vec<TemplateVolume>,
    /// "parked at 19:00 on weekdays (Europe/Berlin)".
    pub schedules: Vec<String>,
    /// With the parameters' defaults; absent when it cannot be ordered here.
    pub park: Option<ParkView>,
    /// All versions, newest first.
    pub versions: Vec<TemplateVersion>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct TemplateVersion {
    pub version: String,
    pub created_at: i64,
    /// What is new in it, in the curator's words.
    pub note: Option<String>,
    /// What is different from the version before, one sentence each; of the newest versions only.
    pub changes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct TemplateServer {
    pub name: String,
    pub count: u32,
    pub image: String,
    /// What its processors must be, `x86_64` or `arm64`; absent: what is usual where it is.
    #[serde(default)]
    pub architecture: Option<String>,
    pub cpu_millis: Option<u32>,
    pub memory_bytes: Option<u64>,
    pub needs: Vec<String>,
    pub ports: Vec<TemplatePort>,
    /// Volume name → mount point.
    pub mounts: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct TemplatePort {
    pub port: u16,
    pub title: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct TemplateVolume {
    pub name: String,
    pub size_bytes: u64,
    /// Servers it is attached to.
    pub servers: Vec<String>,
}

/// One field of the order form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ParameterSpec {
    /// `[a-z][a-z0-9_]*`, at most 40 characters.
    pub name: String,
    pub title: String,
    pub help: Option<String>,
    #[serde(flatten)]
    pub kind: ParameterKind,
    /// As text; absent: the person must give a value. Secrets have none.
    pub default: Option<String>,
    /// Shown and required only when that other parameter has that value.
    pub when: Option<When>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct When {
    pub parameter: String,
    pub equals: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ParameterKind {
    String {
        /// Regular expression the whole value must match (syntax of the `regex` crate).
        pattern: Option<String>,
        /// In characters; 1000 unless the template says less.
        max_length: u32,
        /// Line ends are allowed in the value.
        #[serde(default)]
        multiline: bool,
    },
    Integer {
        min: i64,
        max: i64,
    },
    Boolean,
    Choice {
        options: Vec<ChoiceOption>,
    },
    /// Stored sealed, never shown again.
    Secret {
        max_length: u32,
        #[serde(default)]
        multiline: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct ChoiceOption {
    pub value: String,
    pub title: String,
}

/// Answers to the order form that go together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct Preset {
    pub name: String,
    pub title: String,
    /// When to take it.
    pub help: Option<String>,
    /// Parameter → value; the others keep their default. Never a secret.
    pub values: BTreeMap<String, String>,
}

/// What an order should begin with. Without any of it: the person's last order of the template, else its defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct DraftRequest {
    /// The version on offer when absent.
    #[serde(default)]
    pub version: Option<String>,
    /// Name of a preset.
    #[serde(default)]
    pub preset: Option<String>,
    /// Name or id of an environment that was made from this template.
    #[serde(default)]
    pub from: Option<String>,
    /// With nothing but the template's own defaults.
    #[serde(default)]
    pub defaults: bool,
}

/// A filled-in order form. Asking for one orders nothing and keeps nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct OrderDraft {
    /// A name that is free at this moment.
    pub name: String,
    pub source: DraftSource,
    /// Values that differ from the parameters' defaults. Never a secret.
    pub values: BTreeMap<String, String>,
    /// Parameters whose earlier value this version does not take any more, by title.
    pub dropped: Vec<String>,
    /// Environments the person has, and may have.
    pub environments: u64,
    pub environments_limit: u64,
}

/// Where a draft's values are from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum DraftSource {
    Defaults,
    Preset {
        name: String,
    },
    /// The person's own last order of this template.
    LastOrder {
        environment: String,
        /// Unix milliseconds.
        at: i64,
    },
    Environment {
        environment: String,
    },
}

/// Whether an environment can be called that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct NameCheck {
    pub name: String,
    /// It is a name, and nobody in the team has an environment of that name at this moment.
    pub free: bool,
    /// Why not, as the rest of a sentence that begins with the name.
    pub message: Option<String>,
}

/// A person's request for an environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    pub template: String,
    /// The version on offer when absent.
    #[serde(default)]
    pub version: Option<String>,
    /// Name of the environment: a DNS label (`[a-z]([a-z0-9-]*[a-z0-9])?`, at most 40), unique in the team. Made up from the
    /// template's name when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Every value as text; absent ones take their default.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// What its volumes begin with; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataSource>,
    /// Sign-in name of the person of one's own team it is for; oneself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// What an environment is to become, on the volumes it has. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderChange {
    /// Version of its template.
    #[serde(default)]
    pub version: Option<String>,
    /// Values that change, as text.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// What an environment's volumes hold, or held, to be copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// Name or id of an environment of one's own.
    pub environment: String,
    /// Id of one of its snapshots, or `latest`; one is taken now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// Name of another provisioner that has a complete copy of that snapshot, where the new environment is to be; `latest` is the
    /// newest of which it has one. Where the data is when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}
