//! `volumes`, `outputs`, `schedules`, `snapshots` and `icon`.

use std::ops::RangeInclusive;

use app::api::TEMPLATE_ICONS;

use super::fields::{Fields, Reading, shortened};
use super::scope::Scope;
use super::servers;
use super::yaml::Node;
use crate::domain::schedule;
use crate::domain::template::compile;
use crate::domain::template::model::{Output, Server, Volume};
use crate::domain::template::names::{self, IDENTIFIER, LABEL, MOUNT};
use crate::domain::template::problem::did_you_mean;
use crate::domain::template::quantity;
use crate::domain::topology::{Keep, ParkMode, Schedule, ScheduledAction, SnapshotRules};

pub const VOLUME_KEYS: [&str; 3] = ["size", "mounts", "per_server"];
pub const OUTPUT_KEYS: [&str; 3] = ["title", "value", "sensitive"];
pub const SCHEDULE_KEYS: [&str; 4] = ["time_zone", "park", "resume", "delete"];
pub const SNAPSHOT_KEYS: [&str; 3] = ["take", "time_zone", "keep"];
pub const KEEP_KEYS: [&str; 5] = ["last", "daily", "weekly", "monthly", "deleted_days"];
/// Snapshots of a kind, and days.
const MOST_KEPT: i64 = 366;

pub fn read_volumes(reading: &Reading, root: &Fields, scope: &Scope, servers: &[Server]) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    // Server and path of every mount so far: one path leads to one volume.
    let mut taken: Vec<(String, String)> = Vec::new();
    for (key, node, path) in reading.named(root, "volumes") {
        if !names::is_label(&key.text) {
            reading.report(key.at, &path, format!("a volume's name is {LABEL} characters"));
        }
        let Some(fields) = Fields::open(reading, node, &path, &VOLUME_KEYS) else { continue };
        let size_bytes = fields.required("size").and_then(|(node, path)| {
            let form = "a size like `512 MiB` or `10 GiB`, from 1 MiB to 16 TiB";
            let fits = |text: &str| quantity::bytes(text).filter(|bytes| (1 << 20..=16 << 40).contains(bytes));
            fits(&reading.formed(node, &path, form, |text| fits(text).is_some()))
        });
        let volume = Volume {
            name: key.text.clone(),
            size_bytes: size_bytes.unwrap_or_default(),
            mounts: read_mounts(reading, &fields, scope, &mut taken),
            per_server: fields.get("per_server").is_some_and(|(node, path)| reading.boolean(node, &path)),
        };
        for name in compile::all_names(&volume, |server| most_host_names(server, servers, scope)) {
            if names.contains(&name) {
                let message = format!("there would be two volumes called `{name}`; rename one");
                reading.report(key.at, &path, message);
            }
            names.push(name);
        }
        volumes.push(volume);
    }
    volumes
}

/// What the servers of an entry are called when it has the largest count it can have.
fn most_host_names(server: &str, servers: &[Server], scope: &Scope) -> Vec<String> {
    let Some(server) = servers.iter().find(|known| known.name == server) else { return Vec::new() };
    compile::host_names(server, servers::largest_count(server, &scope.parameters))
}

fn read_mounts(
    reading: &Reading,
    volume: &Fields,
    scope: &Scope,
    taken: &mut Vec<(String, String)>,
) -> Vec<(String, String)> {
    let Some((node, mounts_path)) = volume.required("mounts") else { return Vec::new() };
    let mut mounts = Vec::new();
    for (key, node, path) in reading.named(volume, "mounts") {
        if !scope.servers.contains(&key.text) {
            let hint = did_you_mean(&key.text, scope.servers.iter().map(String::as_str));
            reading.report(key.at, &path, format!("there is no server `{}`{hint}", shortened(&key.text)));
        }
        let mount = reading.formed(node, &path, MOUNT, names::is_mount);
        let inside = |a: &str, b: &str| a == b || a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
        if let Some((_, other)) =
            taken.iter().find(|(server, other)| *server == key.text && (inside(&mount, other) || inside(other, &mount)))
        {
            let message = format!("`{mount}` overlaps `{other}`, where another volume of `{}` is mounted", key.text);
            reading.report(node.at, &path, message);
        }
        taken.push((key.text.clone(), mount.clone()));
        mounts.push((key.text.clone(), mount));
    }
    if mounts.is_empty() {
        reading.report(node.at, &mounts_path, "is mounted nowhere; write one line `SERVER: /path` for each server");
    }
    mounts
}

pub fn read_outputs(reading: &Reading, root: &Fields, scope: &Scope) -> Vec<Output> {
    let mut outputs = Vec::new();
    for (key, node, path) in reading.named(root, "outputs") {
        if !names::is_identifier(&key.text) {
            reading.report(key.at, &path, format!("an output's name is {IDENTIFIER} characters"));
        }
        let Some(fields) = Fields::open(reading, node, &path, &OUTPUT_KEYS) else { continue };
        let sensitive = fields.get("sensitive").is_some_and(|(node, path)| reading.boolean(node, &path));
        let title = fields.required("title").map(|(node, path)| reading.line(node, &path, 80));
        let value = fields.required("value").map(|(node, path)| {
            reading.expression(node, &path, |name| match scope.wrong_with(name, false) {
                None if scope.is_secret(name) && !sensitive => {
                    Some("is a secret, so this output should say `sensitive: true`".into())
                }
                wrong => wrong,
            })
        });
        outputs.push(Output {
            name: key.text.clone(),
            title: title.unwrap_or_default(),
            value: value.unwrap_or_default(),
            sensitive,
        });
    }
    outputs
}

pub fn read_schedules(reading: &Reading, root: &Fields) -> Vec<Schedule> {
    let Some((node, path)) = root.get("schedules") else { return Vec::new() };
    let Some(fields) = Fields::open(reading, node, &path, &SCHEDULE_KEYS) else { return Vec::new() };
    let time_zone = fields.required("time_zone").map(|(node, path)| time_zone(reading, node, &path));
    let mut schedules = Vec::new();
    let actions =
        [("park", ScheduledAction::Park), ("resume", ScheduledAction::Resume), ("delete", ScheduledAction::Delete)];
    for (key, action) in actions {
        let Some((node, path)) = fields.get(key) else { continue };
        let cron = cron(reading, node, &path);
        schedules.push(Schedule { action, cron, time_zone: time_zone.clone().unwrap_or_default() });
    }
    if schedules.is_empty() {
        reading.report(fields.at, &path, "names no rule; give `park`, `resume` or `delete` a cron expression");
    }
    schedules
}

pub fn read_snapshots(reading: &Reading, root: &Fields) -> SnapshotRules {
    let mut rules = SnapshotRules { time_zone: "UTC".to_owned(), ..SnapshotRules::default() };
    let Some((node, path)) = root.get("snapshots") else { return rules };
    let Some(fields) = Fields::open(reading, node, &path, &SNAPSHOT_KEYS) else { return rules };
    if let Some((node, path)) = fields.get("time_zone") {
        rules.time_zone = time_zone(reading, node, &path);
    }
    rules.take = fields.get("take").map(|(node, path)| cron(reading, node, &path));
    let Some((node, path)) = fields.get("keep") else { return rules };
    let Some(fields) = Fields::open(reading, node, &path, &KEEP_KEYS) else { return rules };
    let number = |key: &str, range: RangeInclusive<i64>, absent: i64| match fields.get(key) {
        Some((node, path)) => reading.integer(node, &path, range),
        None => absent,
    };
    let absent = Keep::default();
    let count =
        |key: &str, least: i64, absent: usize| number(key, least..=MOST_KEPT, absent as i64).unsigned_abs() as usize;
    rules.keep = Keep {
        last: count("last", 1, absent.last),
        daily: count("daily", 0, absent.daily),
        weekly: count("weekly", 0, absent.weekly),
        monthly: count("monthly", 0, absent.monthly),
        deleted_days: number("deleted_days", 1..=MOST_KEPT, absent.deleted_days),
    };
    rules
}

pub fn read_park(reading: &Reading, root: &Fields, servers: &[Server]) -> ParkMode {
    let Some((node, path)) = root.get("park") else { return ParkMode::default() };
    let named = |text: &str| ParkMode::ALL.into_iter().find(|mode| mode.as_str() == text);
    let form = "one of `volumes` (servers go, volumes stay), `snapshot` (volumes go, too, into one), `stop` and `hibernate` \
         (servers stay, stopped)";
    let mode = named(&reading.formed(node, &path, form, |text| named(text).is_some())).unwrap_or_default();
    if let Some(server) = servers.iter().find(|server| server.spot && mode.suspends()) {
        let mode = mode.as_str();
        reading.report(
            node.at,
            &path,
            format!("`{mode}` needs servers that stay, and `{}` is a spot server", server.name),
        );
    }
    mode
}

fn time_zone(reading: &Reading, node: &Node, path: &str) -> String {
    let form = "an IANA time zone like `Europe/Berlin` or `UTC`";
    reading.formed(node, path, form, |name| schedule::time_zone(name).is_ok())
}

fn cron(reading: &Reading, node: &Node, path: &str) -> String {
    let cron = reading.line(node, path, 100);
    if let Err(error) = schedule::cron(&cron)
        && !cron.is_empty()
    {
        reading.report(node.at, path, format!("`{}` {error}", shortened(&cron)));
    }
    cron
}

pub fn read_icon(reading: &Reading, root: &Fields) -> Option<String> {
    let (node, path) = root.get("icon")?;
    let icon = reading.scalar(node, &path, 100)?;
    if !TEMPLATE_ICONS.contains(&icon.as_str()) {
        let hint = did_you_mean(&icon, TEMPLATE_ICONS);
        let message = format!("there is no icon `{}`{hint} Icons are {}", shortened(&icon), TEMPLATE_ICONS.join(", "));
        reading.report(node.at, &path, message);
    }
    Some(icon)
}
