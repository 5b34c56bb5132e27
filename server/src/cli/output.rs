//! What is printed: tables for people, JSON for programs, and nothing that could take over a terminal.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::failure::Failure;

#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub json: bool,
}

impl Output {
    /// One JSON document, or the text when people read.
    pub fn result(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let mut printed = match self.json {
            true => serde_json::to_string_pretty(value).map_err(|error| Failure::local(error.to_string()))?,
            false => text(),
        };
        if !printed.is_empty() && !printed.ends_with('\n') {
            printed.push('\n');
        }
        // What was said in passing is over.
        Self::draw("");
        Ok(print(&printed)?)
    }

    /// Says what went wrong; the exit code that goes with it.
    pub fn fail(self, failure: Failure) -> ExitCode {
        if let Some(error) = &failure.error {
            let text = match self.json {
                true => serde_json::to_string(error).unwrap_or_else(|_| error.title.clone()),
                false => format!("bookend: {}", clean_lines(&error.to_string())),
            };
            Self::draw("");
            // Nobody left to tell is no further failure.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
        ExitCode::from(failure.exit)
    }

    /// For people who watch: only when standard error is a terminal.
    pub fn progress(self, text: &str) {
        Self::draw(&format!("{}\n", clean(text)));
    }

    /// The same for what is soon said anew: the next line is written over it.
    pub fn passing(self, text: &str) {
        Self::draw(&clean(text));
    }

    fn draw(line: &str) {
        if std::io::stderr().is_terminal() {
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        }
    }
}

/// To standard output, at once.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Columns as wide as their widest cell; the last one is not padded.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = std::iter::once(header.iter().map(|cell| (*cell).to_owned()).collect())
        .chain(rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()))
        .collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Text of one line that cannot move a cursor, change colours, or run from right to left over what stands beside it:
/// whatever could is shown as its code.
pub fn clean(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut cleaned, c| {
        match is_dangerous(c) {
            true => cleaned.extend(c.escape_unicode()),
            false => cleaned.push(c),
        }
        cleaned
    })
}

/// The same for text of several lines.
pub fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

fn is_dangerous(c: char) -> bool {
    // Control characters, and those that change the direction of text (Unicode Standard Annex #9).
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
}

/// A log line as a terminal may have it: colours stay, every other escape sequence and control character goes.
pub fn for_terminal(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\u{1b}' => {
                let (sequence, after) = escape_sequence(rest);
                let is_colour =
                    sequence.strip_prefix('[').and_then(|body| body.strip_suffix('m')).is_some_and(|numbers| {
                        numbers.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':'))
                    });
                if is_colour {
                    shown.push('\u{1b}');
                    shown.push_str(sequence);
                }
                rest = after;
            }
            '\t' => shown.push('\t'),
            c if is_dangerous(c) => {}
            c => shown.push(c),
        }
    }
    if shown.contains('\u{1b}') {
        shown.push_str("\u{1b}[0m");
    }
    shown
}

/// What belongs to an escape that has just begun (ECMA-48), and what comes after it. A sequence without an end takes the
/// rest of the line.
fn escape_sequence(text: &str) -> (&str, &str) {
    let end = match text.as_bytes().first() {
        Some(b'[') => text[1..].find(|c: char| ('@'..='~').contains(&c)).map(|end| end + 2),
        Some(b']' | b'P' | b'X' | b'^' | b'_') => match (text.find('\u{7}'), text.find("\u{1b}\\")) {
            (Some(bell), Some(terminator)) => Some((bell + 1).min(terminator + 2)),
            (Some(bell), None) => Some(bell + 1),
            (None, terminator) => terminator.map(|at| at + 2),
        },
        Some(_) => text.chars().next().map(char::len_utf8),
        None => Some(0),
    };
    text.split_at(end.unwrap_or(text.len()))
}

/// Unix milliseconds as a local time people read.
pub fn time(at: i64) -> String {
    match jiff::Timestamp::from_millisecond(at) {
        Ok(at) => at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => at.to_string(),
    }
}

pub fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
