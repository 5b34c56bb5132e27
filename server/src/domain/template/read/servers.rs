//! `servers`: what each server is and what runs on it.

use agent::api::{Restart, Script};
use app::api::{ParameterKind, ParameterSpec};
use provisioners::{Architecture, Image};

use super::checks;
use super::fields::{Fields, Reading, shortened};
use super::scope::{Scope, expression_in_script};
use super::yaml::{Key, Node, Value};
use crate::domain::template::expression::{Name, Text};
use crate::domain::template::model::{Count, Limits, SIZES, Server, Service, Size, size_named};
use crate::domain::template::names::{self, COMMAND, DIRECTORY, LABEL, URL_PATH, VARIABLE};
use crate::domain::template::problem::{Position, did_you_mean};
use crate::domain::template::quantity;
use crate::domain::topology::PortSpec;

pub const KEYS: [&str; 16] = [
    "count",
    "size",
    "image",
    "architecture",
    "needs",
    "internet",
    "spot",
    "requires",
    "variables",
    "setup",
    "startup",
    "before_snapshot",
    "after_snapshot",
    "services",
    "checks",
    "ports",
];
pub const SERVICE_KEYS: [&str; 5] = ["command", "directory", "variables", "restart", "stop_timeout"];
pub const PORT_KEYS: [&str; 3] = ["port", "title", "path"];
pub const SCRIPT_KEYS: [&str; 2] = ["script", "timeout"];
pub const SIZE_KEYS: [&str; 2] = ["cpu", "memory"];
/// Kinds of provisioners a template may name an image for.
pub const PROVISIONERS: [&str; 2] = ["local", "ec2"];
/// Servers of one environment.
pub const MAX_SERVERS: u32 = 50;

pub fn read(reading: &Reading, root: &Fields, scope: &Scope) -> Vec<Server> {
    let Some((node, path)) = root.required("servers") else { return Vec::new() };
    let entries = reading.named(root, "servers");
    if matches!(&node.value, Value::Mapping(entries) if entries.is_empty()) {
        reading.report(node.at, &path, "has no server; an environment consists of at least one");
    }
    let mut servers = Vec::new();
    let mut places = Vec::new();
    for (key, node, path) in entries {
        if !names::is_label(&key.text) || key.text == "localhost" {
            reading.report(key.at, &path, format!("a server's name is {LABEL} characters, and not `localhost`"));
        }
        let Some(fields) = Fields::open(reading, node, &path, &KEYS) else { continue };
        let (server, needs) = read_one(reading, &key.text, &fields, scope);
        servers.push(server);
        places.push(Places { at: key.at, needs });
    }
    let total: u32 = servers.iter().map(|server| largest_count(server, &scope.parameters)).sum();
    if total > MAX_SERVERS {
        reading.report(node.at, &path, format!("can become {total} servers; an environment has at most {MAX_SERVERS}"));
    }
    check_host_names(reading, &servers, &places, &scope.parameters);
    check_cycles(reading, &servers, &places);
    servers
}

/// Where a server's entry, and what it needs, stand in the file.
struct Places {
    at: Position,
    needs: Vec<(String, Position)>,
}

fn read_one(reading: &Reading, name: &str, fields: &Fields, scope: &Scope) -> (Server, Vec<(String, Position)>) {
    let needs = fields.words("needs", "the name of another server", |word| scope.servers.iter().any(|s| s == word));
    for (needed, at) in needs.iter().filter(|(needed, _)| needed == name) {
        reading.report(*at, &fields.path_of("needs"), format!("`{needed}` cannot need itself"));
    }
    let requires = fields.words("requires", COMMAND, names::is_command);
    let (image, alias) = read_image(reading, fields);
    let server = Server {
        name: name.into(),
        count: read_count(reading, fields, &scope.parameters),
        size: read_size(reading, fields, &scope.parameters),
        image,
        alias,
        architecture: read_architecture(reading, fields),
        internet: fields.get("internet").is_some_and(|(node, path)| reading.boolean(node, &path)),
        spot: fields.get("spot").is_some_and(|(node, path)| reading.boolean(node, &path)),
        needs: needs.iter().map(|(needed, _)| needed.clone()).collect(),
        requires: requires.into_iter().map(|(command, _)| command).collect(),
        variables: read_variables(reading, fields, scope),
        setup: read_script(reading, fields, "setup", 300_000),
        startup: read_script(reading, fields, "startup", 60_000),
        before_snapshot: read_script(reading, fields, "before_snapshot", 30_000),
        after_snapshot: read_script(reading, fields, "after_snapshot", 30_000),
        services: read_services(reading, fields, scope),
        checks: checks::read(reading, fields),
        ports: read_ports(reading, fields),
    };
    (server, needs)
}

/// `3`, or `${parameters.NAME}` of an integer.
fn read_count(reading: &Reading, fields: &Fields, parameters: &[ParameterSpec]) -> Count {
    let Some((node, path)) = fields.get("count") else { return Count::Fixed(1) };
    let max = i64::from(MAX_SERVERS);
    let Some(parameter) = parameter_reference(node) else {
        return Count::Fixed(u32::try_from(reading.integer(node, &path, 1..=max)).unwrap_or(1));
    };
    match parameters.iter().find(|known| known.name == parameter) {
        Some(known) if matches!(known.kind, ParameterKind::Integer { min, max: most } if min >= 1 && most <= max) => {
            if known.when.is_some() {
                reading.report(
                    node.at,
                    &path,
                    format!("`{parameter}` does not always apply; a count always needs a value"),
                );
            }
        }
        Some(_) => {
            let message = format!("`{parameter}` should be of type integer with min and max within 1 to {max}");
            reading.report(node.at, &path, message);
        }
        None => reading.report(node.at, &path, unknown_parameter(&parameter, parameters)),
    }
    Count::Parameter(parameter)
}

/// A name, `${parameters.NAME}` of a choice of names, or `{cpu: 0.5, memory: 512 MiB}`.
fn read_size(reading: &Reading, fields: &Fields, parameters: &[ParameterSpec]) -> Size {
    let Some((node, path)) = fields.get("size") else { return Size::Unlimited };
    let known = SIZES.map(|(name, _)| name).join(", ");
    if let Value::Mapping(_) = node.value {
        return Size::Fixed(read_limits(reading, node, &path));
    }
    if let Some(parameter) = parameter_reference(node) {
        match parameters.iter().find(|known| known.name == parameter) {
            Some(ParameterSpec { kind: ParameterKind::Choice { options }, when: None, .. }) => {
                for option in options.iter().filter(|option| size_named(&option.value).is_none()) {
                    let message =
                        format!("`{parameter}` can be `{}`, which is no size; sizes are {known}", option.value);
                    reading.report(node.at, &path, message);
                }
            }
            Some(_) => {
                let message = format!("`{parameter}` should be a choice, without `when`, of sizes: {known}");
                reading.report(node.at, &path, message);
            }
            None => reading.report(node.at, &path, unknown_parameter(&parameter, parameters)),
        }
        return Size::Parameter(parameter);
    }
    let form = format!("one of {known}, or a mapping with `cpu` and `memory`");
    let name = reading.formed(node, &path, &form, |name| size_named(name).is_some());
    Size::Fixed(size_named(&name).unwrap_or_default())
}

fn read_limits(reading: &Reading, node: &Node, path: &str) -> Limits {
    let Some(fields) = Fields::open(reading, node, path, &SIZE_KEYS) else { return Limits::default() };
    let cpu_millis = fields.get("cpu").and_then(|(node, path)| {
        let form = "a number of processors like `0.5` or `2`, from 0.05 to 256";
        let fits = |text: &str| quantity::cpu_millis(text).filter(|millis| (50..=256_000).contains(millis));
        fits(&reading.formed(node, &path, form, |text| fits(text).is_some()))
    });
    let memory_bytes = fields.get("memory").and_then(|(node, path)| {
        let form = "a size like `512 MiB` or `2 GiB`, from 16 MiB to 4 TiB";
        let fits = |text: &str| quantity::bytes(text).filter(|bytes| (16 << 20..=4 << 40).contains(bytes));
        fits(&reading.formed(node, &path, form, |text| fits(text).is_some()))
    });
    Limits { cpu_millis, memory_bytes }
}

/// `host` or an OCI reference; or that for `local` and, for `ec2`, a name that an operator gave an image there.
fn read_image(reading: &Reading, fields: &Fields) -> (Image, Option<String>) {
    let Some((node, path)) = fields.get("image") else { return (Image::Host, None) };
    if !matches!(node.value, Value::Mapping(_)) {
        return (read_local_image(reading, node, &path), None);
    }
    let Some(images) = Fields::open(reading, node, &path, &PROVISIONERS) else { return (Image::Host, None) };
    let local = images.get("local").map(|(node, path)| read_local_image(reading, node, &path));
    let form = format!("the name an operator gave an image there: {LABEL} characters");
    let alias = images.get("ec2").map(|(node, path)| reading.formed(node, &path, &form, names::is_label));
    (local.unwrap_or(Image::Host), alias)
}

fn read_local_image(reading: &Reading, node: &Node, path: &str) -> Image {
    let form = "`host` (the machine's own software) or an image like `registry.example.org/team/name:1.2`";
    match reading.formed(node, path, form, names::is_image) {
        host if host == "host" => Image::Host,
        reference => Image::Oci(reference),
    }
}

/// Never a parameter's value: what is on a volume was written on one kind of processor, and is read on the same.
fn read_architecture(reading: &Reading, fields: &Fields) -> Option<Architecture> {
    let (node, path) = fields.get("architecture")?;
    let known = Architecture::ALL.map(|architecture| format!("`{architecture}`")).join(" or ");
    Architecture::named(&reading.formed(node, &path, &known, |name| Architecture::named(name).is_some()))
}

pub fn read_variables(reading: &Reading, fields: &Fields, scope: &Scope) -> Vec<(String, Text)> {
    let mut variables = Vec::new();
    for (key, node, path) in reading.named(fields, "variables") {
        if !names::is_variable(&key.text) {
            reading.report(key.at, &path, format!("a variable's name is {VARIABLE}"));
        }
        let value = reading.expression(node, &path, |name| scope.wrong_with(name, true));
        variables.push((key.text.clone(), value));
    }
    variables
}

/// The text, or a mapping with `script` and `timeout`.
fn read_script(reading: &Reading, fields: &Fields, key: &str, default_timeout_ms: u64) -> Option<Script> {
    let (node, path) = fields.get(key)?;
    let (node, path, timeout_ms) = match node.value {
        Value::Mapping(_) => {
            let fields = Fields::open(reading, node, &path, &SCRIPT_KEYS)?;
            let timeout = fields.get("timeout").map(|(node, path)| reading.duration_ms(node, &path, 1000..=7_200_000));
            let (node, path) = fields.required("script")?;
            (node, path, timeout.unwrap_or(default_timeout_ms))
        }
        _ => (node, path, default_timeout_ms),
    };
    let text = reading.text(node, &path, 64 * 1024);
    expression_in_script(reading, node, &path, &text);
    Some(Script { text, timeout_ms })
}

fn read_services(reading: &Reading, fields: &Fields, scope: &Scope) -> Vec<Service> {
    let mut services = Vec::new();
    for (key, node, path) in reading.named(fields, "services") {
        if !names::is_label(&key.text) || matches!(key.text.as_str(), "setup" | "startup" | "agent") {
            let message = format!("a service's name is {LABEL} characters, and not `setup`, `startup` or `agent`");
            reading.report(key.at, &path, message);
        }
        let Some(fields) = Fields::open(reading, node, &path, &SERVICE_KEYS) else { continue };
        let command = fields.required("command").map(|(node, path)| {
            let command = reading.line(node, &path, 4000);
            expression_in_script(reading, node, &path, &command);
            command
        });
        services.push(Service {
            name: key.text.clone(),
            command: command.unwrap_or_default(),
            directory: fields.get("directory").map(|(node, path)| {
                reading.formed(node, &path, DIRECTORY, |text| text == "/" || names::is_directory(text))
            }),
            variables: read_variables(reading, &fields, scope),
            restart: fields.get("restart").map_or(Restart::Always, |(node, path)| read_restart(reading, node, &path)),
            stop_timeout_ms: fields
                .get("stop_timeout")
                .map_or(10_000, |(node, path)| reading.duration_ms(node, &path, 0..=600_000)),
        });
    }
    services
}

fn read_restart(reading: &Reading, node: &Node, path: &str) -> Restart {
    let known = ["always", "on-failure", "never"];
    match reading.formed(node, path, "`always`, `on-failure` or `never`", |text| known.contains(&text)).as_str() {
        "never" => Restart::Never,
        "on-failure" => Restart::OnFailure,
        _ => Restart::Always,
    }
}

fn read_ports(reading: &Reading, fields: &Fields) -> Vec<PortSpec> {
    let Some((node, path)) = fields.get("ports") else { return Vec::new() };
    let mut ports: Vec<PortSpec> = Vec::new();
    for (item, path) in reading.list(node, &path) {
        let Some(fields) = Fields::open(reading, item, &path, &PORT_KEYS) else { continue };
        let (Some((port, port_path)), Some((title, title_path))) = (fields.required("port"), fields.required("title"))
        else {
            continue;
        };
        let number = u16::try_from(reading.integer(port, &port_path, 1..=65_535)).unwrap_or_default();
        if ports.iter().any(|other| other.port == number) {
            reading.report(port.at, &port_path, format!("{number} is in the list twice"));
        }
        ports.push(PortSpec {
            port: number,
            title: reading.line(title, &title_path, 60),
            path: fields
                .get("path")
                .map_or("/".into(), |(node, path)| reading.formed(node, &path, URL_PATH, names::is_url_path)),
        });
    }
    ports
}

/// Names of entries that are, or can become, more than one server: seen before they are read, because they name each other.
pub fn several(entries: &[(&Key, &Node, String)]) -> Vec<String> {
    let has_count = |node: &Node| match &node.value {
        Value::Mapping(keys) => keys.iter().any(|(key, node)| {
            key.text == "count" && !matches!(&node.value, Value::Scalar { text, .. } if text == "1")
        }),
        _ => false,
    };
    entries.iter().filter(|(_, node, _)| has_count(node)).map(|(key, ..)| key.text.clone()).collect()
}

/// The whole value is `${parameters.NAME}`.
fn parameter_reference(node: &Node) -> Option<String> {
    let Value::Scalar { text, .. } = &node.value else { return None };
    let text = Text::parse(text).ok()?;
    let mut names = text.names();
    match (names.next(), names.next()) {
        (Some(name @ Name::Parameter(parameter)), None) if text.source() == name.written() => Some(parameter.clone()),
        _ => None,
    }
}

fn unknown_parameter(name: &str, parameters: &[ParameterSpec]) -> String {
    let hint = did_you_mean(name, parameters.iter().map(|parameter| parameter.name.as_str()));
    format!("there is no parameter `{}`{hint}", shortened(name))
}

/// The largest number of servers an entry can become.
pub fn largest_count(server: &Server, parameters: &[ParameterSpec]) -> u32 {
    match &server.count {
        Count::Fixed(count) => *count,
        Count::Parameter(name) => match parameters.iter().find(|parameter| parameter.name == *name) {
            Some(ParameterSpec { kind: ParameterKind::Integer { max, .. }, .. }) => u32::try_from(*max).unwrap_or(1),
            _ => 1,
        },
    }
}

/// `web` times two is `web-1` and `web-2`: neither may be another entry's name.
fn check_host_names(reading: &Reading, servers: &[Server], places: &[Places], parameters: &[ParameterSpec]) {
    for server in servers.iter().filter(|server| server.count != Count::Fixed(1)) {
        for number in 1..=largest_count(server, parameters).min(MAX_SERVERS) {
            let host = format!("{}-{number}", server.name);
            if let Some(index) = servers.iter().position(|other| other.name == host) {
                let message = format!("`{}` has a count, so one of it is called `{host}` too; rename one", server.name);
                reading.report(places[index].at, &format!("servers.{host}"), message);
            }
        }
    }
}

/// Walks from each server along what it needs; a way back to where it began is a circle in which nothing could start.
fn check_cycles(reading: &Reading, servers: &[Server], places: &[Places]) {
    let needs_of = |name: &str| {
        let index = servers.iter().position(|server| server.name == name);
        index.map_or(&[][..], |index| places[index].needs.as_slice())
    };
    let mut told: Vec<String> = Vec::new();
    for server in servers {
        let mut trail = vec![server.name.as_str()];
        if !told.contains(&server.name)
            && let Some(at) = way_back(&needs_of, &mut trail, &mut Vec::new())
        {
            told.extend(trail.iter().map(|name| (*name).to_owned()));
            let circle = trail.iter().chain(&trail[..1]).copied().collect::<Vec<_>>().join(" → ");
            let message = format!("servers need each other in a circle, so none could start first: {circle}");
            reading.report(at, &format!("servers.{}.needs", trail[trail.len() - 1]), message);
        }
    }
}

/// Extends the trail until it ends where it began; the position of the closing need. A server that needs itself alone was
/// told already.
fn way_back<'a>(
    needs_of: &impl Fn(&str) -> &'a [(String, Position)],
    trail: &mut Vec<&'a str>,
    dead_ends: &mut Vec<&'a str>,
) -> Option<Position> {
    let last = trail[trail.len() - 1];
    for (needed, at) in needs_of(last) {
        if needed == trail[0] && trail.len() > 1 {
            return Some(*at);
        }
        if trail.contains(&needed.as_str()) || dead_ends.contains(&needed.as_str()) {
            continue;
        }
        trail.push(needed);
        if let Some(at) = way_back(needs_of, trail, dead_ends) {
            return Some(at);
        }
        trail.pop();
        dead_ends.push(needed);
    }
    None
}
