//! Where the parts of a template stand in its picture: values in, values out.
//!
//! Rows go downwards: on top the servers that no other needs (what a person opens), below them what they need, at the foot
//! the volumes. So every line runs down, and two or three rows of two stand well on a phone.

use crate::api::{TemplateServer, TemplateVolume};
use crate::words::bytes;

const WIDTH: i32 = 148;
const GAP: i32 = 16;
const BETWEEN_ROWS: i32 = 44;
const MARGIN: i32 = 8;
const TITLE_HEIGHT: i32 = 40;
const LINE_HEIGHT: i32 = 18;
/// What fits a box, in characters.
const TITLE_LENGTH: usize = 13;
const LINE_LENGTH: usize = 18;
/// Ports shown on a server.
const PORTS: usize = 2;

/// In CSS pixels, from the upper left.
#[derive(Debug, PartialEq)]
pub(super) struct Drawing {
    pub width: i32,
    pub height: i32,
    pub parts: Vec<Part>,
    pub lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub kind: Kind,
    pub title: String,
    /// Smaller, below the title.
    pub notes: Vec<String>,
    /// One of several of the same kind.
    pub is_many: bool,
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Server,
    Volume,
}

/// From the foot of one part to the head of another.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    /// What the lower end is.
    pub to_kind: Kind,
    pub from: (i32, i32),
    pub to: (i32, i32),
}

/// A part before it has a place, with the numbers of the parts above that lead to it.
struct Node {
    part: Part,
    row: usize,
    above: Vec<usize>,
}

pub(super) fn draw(servers: &[TemplateServer], volumes: &[TemplateVolume]) -> Drawing {
    let mut nodes = nodes(servers, volumes);
    let row_count = nodes.iter().map(|node| node.row + 1).max().unwrap_or_default();
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); row_count];
    for (number, node) in nodes.iter().enumerate() {
        rows[node.row].push(number);
    }
    let row_width = |parts: usize| parts as i32 * (WIDTH + GAP) - GAP;
    let widest = rows.iter().map(|row| row_width(row.len())).max().unwrap_or_default();
    let mut y = MARGIN;
    for row in &mut rows {
        // Each below the middle of what leads to it, as far as the others leave room: lines cross less.
        row.sort_by_key(|number| middle_above(&nodes, *number));
        let height = row.iter().map(|number| nodes[*number].part.height).max().unwrap_or_default();
        let mut x = MARGIN + (widest - row_width(row.len())) / 2;
        for number in row.iter() {
            let part = &mut nodes[*number].part;
            (part.x, part.y, part.height) = (x, y, height);
            x += WIDTH + GAP;
        }
        y += height + BETWEEN_ROWS;
    }
    let lines = nodes.iter().flat_map(|node| {
        node.above.iter().map(|above| {
            let (upper, lower) = (&nodes[*above].part, &node.part);
            Line {
                to_kind: lower.kind,
                from: (upper.x + WIDTH / 2, upper.y + upper.height),
                to: (lower.x + WIDTH / 2, lower.y),
            }
        })
    });
    let lines = lines.collect();
    Drawing {
        width: widest + 2 * MARGIN,
        height: (y - BETWEEN_ROWS + MARGIN).max(0),
        parts: nodes.into_iter().map(|node| node.part).collect(),
        lines,
    }
}

fn nodes(servers: &[TemplateServer], volumes: &[TemplateVolume]) -> Vec<Node> {
    let number_of = |name: &str| servers.iter().position(|server| server.name == name);
    let rows = rows(servers);
    let foot = rows.iter().max().map_or(0, |row| row + 1);
    let server_nodes = servers.iter().zip(rows).map(|(server, row)| {
        let needed_by = |other: &&usize| servers[**other].needs.contains(&server.name);
        let numbers: Vec<usize> = (0..servers.len()).collect();
        let above = numbers.iter().filter(needed_by).copied().collect();
        Node { part: server_part(server), row, above }
    });
    let volume_nodes = volumes.iter().map(|volume| {
        let above = volume.servers.iter().filter_map(|name| number_of(name)).collect();
        Node { part: part(Kind::Volume, &volume.name, 1, vec![bytes(volume.size_bytes)]), row: foot, above }
    });
    server_nodes.chain(volume_nodes).collect()
}

/// The row of each server: one below the lowest that needs it. Ends after as many rounds as there are servers, whatever
/// needs what.
fn rows(servers: &[TemplateServer]) -> Vec<usize> {
    let mut rows = vec![0; servers.len()];
    for _ in 1..servers.len() {
        for (number, server) in servers.iter().enumerate() {
            for needed in (0..servers.len()).filter(|other| server.needs.contains(&servers[*other].name)) {
                rows[needed] = rows[needed].max((rows[number] + 1).min(servers.len() - 1));
            }
        }
    }
    rows
}

/// Rows above have their places already.
fn middle_above(nodes: &[Node], number: usize) -> i32 {
    let above = &nodes[number].above;
    let sum: i32 = above.iter().map(|above| nodes[*above].part.x).sum();
    sum / i32::try_from(above.len().max(1)).unwrap_or(1)
}

fn server_part(server: &TemplateServer) -> Part {
    let mut notes: Vec<String> =
        server.ports.iter().take(PORTS).map(|port| format!(":{} {}", port.port, port.title)).collect();
    if server.ports.len() > PORTS {
        notes.push(format!("and {} more", server.ports.len() - PORTS));
    }
    part(Kind::Server, &server.name, server.count, notes)
}

fn part(kind: Kind, name: &str, count: u32, notes: Vec<String>) -> Part {
    let many = if count > 1 { format!("{count} × ") } else { String::new() };
    let title = many.clone() + &shortened(name, TITLE_LENGTH - many.chars().count().min(TITLE_LENGTH - 1));
    let notes: Vec<String> = notes.iter().map(|note| shortened(note, LINE_LENGTH)).collect();
    let height = TITLE_HEIGHT + LINE_HEIGHT * notes.len() as i32;
    Part { kind, title, notes, is_many: count > 1, x: 0, y: 0, width: WIDTH, height }
}

fn shortened(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    text.chars().take(length.saturating_sub(1)).collect::<String>() + "…"
}

/// The picture in words: what whoever does not see it is told.
pub(super) fn describe(servers: &[TemplateServer], volumes: &[TemplateVolume]) -> String {
    let servers = servers.iter().map(|server| {
        let mut says = Vec::new();
        if !server.needs.is_empty() {
            says.push(format!("needs {}", server.needs.join(" and ")));
        }
        if !server.ports.is_empty() {
            let ports: Vec<String> =
                server.ports.iter().map(|port| format!("{} ({})", port.port, port.title)).collect();
            says.push(format!("opens port {}", ports.join(" and ")));
        }
        if !server.mounts.is_empty() {
            let mounts: Vec<String> = server.mounts.iter().map(|(volume, at)| format!("{volume} at {at}")).collect();
            says.push(format!("has volume {}", mounts.join(" and ")));
        }
        let what = if server.count > 1 { format!("{} servers", server.count) } else { "Server".into() };
        format!("{what} {}{}{}.", server.name, if says.is_empty() { "" } else { " " }, says.join(", "))
    });
    let volumes = volumes.iter().map(|volume| {
        format!("Volume {} of {} on {}.", volume.name, bytes(volume.size_bytes), volume.servers.join(" and "))
    });
    servers.chain(volumes).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
