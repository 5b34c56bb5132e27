//! Volumes and snapshots.

use std::borrow::Cow;

use super::kept::Course;
use super::shelf::{Resource, Tags};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeState {
    Creating,
    Available,
    InUse,
    /// It could not be made, and never will be.
    Error,
    Deleting,
    Deleted,
}

impl VolumeState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::InUse => "in-use",
            Self::Error => "error",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachmentState {
    Attaching,
    Attached,
    Detaching,
    Detached,
}

impl AttachmentState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Attaching => "attaching",
            Self::Attached => "attached",
            Self::Detaching => "detaching",
            Self::Detached => "detached",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Attachment {
    pub instance: String,
    pub device: String,
    pub since_ms: i64,
    pub delete_on_termination: bool,
    pub course: Course<AttachmentState>,
}

#[derive(Clone, Debug)]
pub struct Volume {
    pub id: String,
    pub zone: String,
    pub gib: i64,
    pub kind: String,
    pub iops: Option<i64>,
    pub throughput: Option<i64>,
    pub encrypted: bool,
    pub key: Option<String>,
    pub snapshot: Option<String>,
    pub created_ms: i64,
    pub fast_restored: bool,
    /// MiB a second at which it was to be read in.
    pub reading_rate: Option<i64>,
    /// When all of its snapshot's data is read in; `None`: it began with nothing.
    pub read_in_ms: Option<i64>,
    pub tags: Tags,
    /// Never `InUse`: that is told by the attachment.
    pub course: Course<VolumeState>,
    pub attachment: Option<Attachment>,
    /// How many snapshots were taken: later ones hold what has changed only.
    pub snapshots: u32,
}

impl Volume {
    pub fn state(&self, at_ms: i64) -> VolumeState {
        match self.course.at(at_ms) {
            VolumeState::Available if self.attached(at_ms).is_some() => VolumeState::InUse,
            other => other,
        }
    }

    /// Percent of its snapshot's data that is read in.
    pub fn progress(&self, at_ms: i64) -> Option<i64> {
        let end = self.read_in_ms?;
        let whole = (end - self.created_ms).max(1);
        Some(if at_ms >= end { 100 } else { (at_ms - self.created_ms).max(0) * 100 / whole })
    }

    /// The attachment, while there is one.
    pub fn attached(&self, at_ms: i64) -> Option<(&Attachment, AttachmentState)> {
        let attachment = self.attachment.as_ref()?;
        let state = attachment.course.at(at_ms);
        (state != AttachmentState::Detached && attachment.since_ms <= at_ms).then_some((attachment, state))
    }
}

impl Resource for Volume {
    const PREFIX: &'static str = "vol-";
    const FILTERS: &'static [&'static str] = &[
        "volume-id",
        "status",
        "size",
        "volume-type",
        "availability-zone",
        "snapshot-id",
        "encrypted",
        "fast-restored",
        "multi-attach-enabled",
        "create-time",
        "attachment.instance-id",
        "attachment.device",
        "attachment.status",
        "attachment.delete-on-termination",
    ];
    const INDEXED: &'static [&'static str] =
        &["volume-id", "attachment.instance-id", "snapshot-id", "availability-zone"];

    fn id(&self) -> &str {
        &self.id
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }

    fn is_visible(&self, at_ms: i64) -> bool {
        self.course.at(at_ms) != VolumeState::Deleted
    }

    fn values<'a>(&'a self, filter: &str, at_ms: i64, values: &mut Vec<Cow<'a, str>>) {
        let attached = self.attached(at_ms);
        match filter {
            "volume-id" => values.push(Cow::from(&self.id)),
            "status" => values.push(Cow::from(self.state(at_ms).name())),
            "size" => values.push(Cow::from(self.gib.to_string())),
            "volume-type" => values.push(Cow::from(&self.kind)),
            "availability-zone" => values.push(Cow::from(&self.zone)),
            "snapshot-id" => values.extend(self.snapshot.as_deref().map(Cow::from)),
            "encrypted" => values.push(Cow::from(self.encrypted.to_string())),
            "fast-restored" => values.push(Cow::from(self.fast_restored.to_string())),
            "multi-attach-enabled" => values.push(Cow::from("false")),
            "create-time" => values.push(Cow::from(crate::time::iso(self.created_ms))),
            "attachment.instance-id" => values.extend(attached.map(|(to, _)| Cow::from(&to.instance))),
            "attachment.device" => values.extend(attached.map(|(to, _)| Cow::from(&to.device))),
            "attachment.status" => values.extend(attached.map(|(_, state)| Cow::from(state.name()))),
            "attachment.delete-on-termination" => {
                values.extend(attached.map(|(to, _)| Cow::from(to.delete_on_termination.to_string())));
            }
            _ => {}
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotState {
    Pending,
    Completed,
    Error,
    Deleted,
}

impl SnapshotState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Error => "error",
            Self::Deleted => "deleted",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub id: String,
    /// The account it belongs to; public ones of others are seen, too.
    pub owner: String,
    pub public: bool,
    pub volume: String,
    /// The snapshot it is a copy of.
    pub copy_of: Option<String>,
    pub gib: i64,
    pub encrypted: bool,
    pub key: Option<String>,
    pub description: String,
    /// The moment it holds.
    pub started_ms: i64,
    pub tags: Tags,
    pub course: Course<SnapshotState>,
}

impl Snapshot {
    pub fn state(&self, at_ms: i64) -> SnapshotState {
        self.course.at(at_ms)
    }

    /// Percent.
    pub fn progress(&self, at_ms: i64) -> i64 {
        match self.course.when(SnapshotState::Completed) {
            Some(end) if at_ms < end => (at_ms - self.started_ms).max(0) * 100 / (end - self.started_ms).max(1),
            _ => 100,
        }
    }
}

impl Resource for Snapshot {
    const PREFIX: &'static str = "snap-";
    const FILTERS: &'static [&'static str] = &[
        "snapshot-id",
        "volume-id",
        "status",
        "owner-id",
        "volume-size",
        "encrypted",
        "description",
        "progress",
        "start-time",
        "storage-tier",
        "owner-alias",
    ];
    const INDEXED: &'static [&'static str] = &["snapshot-id", "volume-id", "owner-id"];

    fn id(&self) -> &str {
        &self.id
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }

    fn is_visible(&self, at_ms: i64) -> bool {
        self.state(at_ms) != SnapshotState::Deleted
    }

    fn values<'a>(&'a self, filter: &str, at_ms: i64, values: &mut Vec<Cow<'a, str>>) {
        match filter {
            "snapshot-id" => values.push(Cow::from(&self.id)),
            "volume-id" => values.push(Cow::from(&self.volume)),
            "status" => values.push(Cow::from(self.state(at_ms).name())),
            "owner-id" => values.push(Cow::from(&self.owner)),
            "volume-size" => values.push(Cow::from(self.gib.to_string())),
            "encrypted" => values.push(Cow::from(self.encrypted.to_string())),
            "description" => values.push(Cow::from(&self.description)),
            "progress" => values.push(Cow::from(format!("{}%", self.progress(at_ms)))),
            "start-time" => values.push(Cow::from(crate::time::iso(self.started_ms))),
            "storage-tier" => values.push(Cow::from("standard")),
            _ => {}
        }
    }
}
