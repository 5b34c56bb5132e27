//! Log lines: how much one matters, as far as its text says, and whether it is among those asked for.
//!
//! A level is taken from what the common formats agree on: a key (`level=warn`, `"severity":"ERROR"`, `"level":50`), a word in
//! capitals or in brackets near the beginning (`2026-11-21 ERROR …`, `[warn] …`), a word with a colon at the very beginning
//! (`error: …`), and klog's letter. A line that says nothing of the kind has no level: guessing from "error" anywhere in a
//! sentence would be wrong as often as right.

use std::collections::BTreeMap;

use app::api::{Level, LogLine};
use app::words::find;

/// A level stands near the beginning: within this many bytes, and this many words.
const HEAD: usize = 256;
const WORDS: usize = 10;

/// Which lines are asked for, made ready to be held against many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// By name.
    pub server: Option<String>,
    pub search: Option<String>,
    pub level: Option<Level>,
    pub since: Option<i64>,
    pub before: Option<Before>,
}

/// Lines before some others: of each server by position, and of servers that had none among them by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    pub at: i64,
    /// Server → generation and number.
    pub positions: BTreeMap<String, (i64, u64)>,
}

impl Selection {
    pub fn of_server(name: &str) -> Self {
        Self { server: Some(name.to_owned()), ..Self::default() }
    }

    pub fn matches(&self, line: &LogLine) -> bool {
        self.level.is_none_or(|least| line.level.is_some_and(|level| level >= least))
            && self.since.is_none_or(|since| line.at >= since)
            && self.before.as_ref().is_none_or(|before| before.has(line))
            && self.search.as_ref().is_none_or(|search| find(&line.text, search).is_some())
    }

    /// The position in this server's log before which all lines asked for are, if that is known.
    pub fn end_of(&self, server: &str) -> Option<(i64, u64)> {
        self.before.as_ref()?.positions.get(server).copied()
    }
}

impl Before {
    /// As [`app::api::earlier_than`] writes it; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (at, rest) = text.split_once(',')?;
        let mut positions = BTreeMap::new();
        for part in rest.split(',') {
            let (server, place) = part.split_once(':')?;
            positions.insert(server.to_owned(), position(place)?);
        }
        Some(Self { at: at.parse().ok()?, positions })
    }

    fn has(&self, line: &LogLine) -> bool {
        match (self.positions.get(&line.server), position(&line.position)) {
            (Some(end), Some(place)) => place < *end,
            _ => line.at <= self.at,
        }
    }
}

/// `GENERATION.SEQ`.
pub fn position(text: &str) -> Option<(i64, u64)> {
    let (generation, number) = text.split_once('.')?;
    Some((generation.parse().ok()?, number.parse().ok()?))
}

/// What the text says of its own level. Looks at the beginning only, so that it costs little for any line.
pub fn level_of(text: &str) -> Option<Level> {
    let head = &text[..text.floor_char_boundary(HEAD)];
    keyed(head).or_else(|| klog(head)).or_else(|| spoken(head))
}

/// `level=warn`, `"level": "warn"`, `lvl=eror`, `severity: ERROR`, and numbers as bunyan and pino write them.
fn keyed(head: &str) -> Option<Level> {
    ["level", "lvl", "severity"].into_iter().find_map(|key| {
        let after = &head[find(head, key)? + key.len()..];
        let value = after.trim_start_matches('"').trim_start().strip_prefix([':', '='])?;
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        let end = value.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(value.len());
        word(&value[..end]).or_else(|| match value[..end].parse::<u32>().ok()? {
            50..=60 => Some(Level::Error),
            40..50 => Some(Level::Warn),
            30..40 => Some(Level::Info),
            10..30 => Some(Level::Debug),
            _ => None,
        })
    })
}

/// `E1121 10:54:27.000001 …`.
fn klog(head: &str) -> Option<Level> {
    let bytes = head.as_bytes();
    let dated = bytes.len() > 5 && bytes[1..5].iter().all(u8::is_ascii_digit) && bytes[5] == b' ';
    match bytes.first().filter(|_| dated)? {
        b'E' | b'F' => Some(Level::Error),
        b'W' => Some(Level::Warn),
        b'I' => Some(Level::Info),
        _ => None,
    }
}

/// A word in capitals, in brackets, or with a colon before any other word.
fn spoken(head: &str) -> Option<Level> {
    if head.starts_with("Traceback (most recent call last)") || head.contains(" panicked at ") {
        return Some(Level::Error);
    }
    let is_letter = |character: char| character.is_ascii_alphanumeric();
    let (mut at, mut first) = (0, true);
    for _ in 0..WORDS {
        at += head[at..].find(is_letter)?;
        let end = head[at..].find(|character| !is_letter(character)).map_or(head.len(), |length| at + length);
        let said = &head[at..end];
        let (before, after) = (head[..at].chars().next_back(), head[end..].chars().next());
        let bracketed =
            matches!((before, after), (Some('['), Some(']')) | (Some('<'), Some('>')) | (Some('('), Some(')')));
        let capitals = said.bytes().all(|byte| byte.is_ascii_uppercase());
        if (capitals || bracketed || (first && after == Some(':')))
            && let Some(level) = word(said)
        {
            return Some(level);
        }
        // Dates and numbers are not the first word.
        first &= said.bytes().any(|byte| byte.is_ascii_digit());
        at = end;
    }
    None
}

fn word(said: &str) -> Option<Level> {
    const ERROR: [&str; 11] =
        ["error", "err", "eror", "fatal", "critical", "crit", "panic", "alert", "emerg", "severe", "failure"];
    let is = |words: &[&str]| words.iter().any(|word| said.eq_ignore_ascii_case(word));
    if is(&ERROR) {
        return Some(Level::Error);
    }
    if is(&["warn", "warning"]) {
        return Some(Level::Warn);
    }
    if is(&["info", "notice", "information"]) {
        return Some(Level::Info);
    }
    is(&["debug", "trace", "verbose", "dbug"]).then_some(Level::Debug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_formats_say_their_level() {
        let said = |level, lines: &[&str]| {
            for line in lines {
                assert_eq!(level_of(line), level, "{line}");
            }
        };
        said(
            Some(Level::Error),
            &[
                "2026-11-21T10:54:27.123Z ERROR shop::orders: no paper left",
                "ERROR:root:no paper left",
                "error: no paper left",
                "level=error msg=\"no paper left\"",
                r#"{"time":1763722000,"level":"error","msg":"no paper left"}"#,
                r#"{"level":50,"time":1763722000,"msg":"no paper left"}"#,
                r#"{"severity": "CRITICAL", "message": "no paper left"}"#,
                "2026/11/21 10:54:27 [error] 31#31: *1 open() failed",
                "E1121 10:54:27.000001       1 main.go:12] no paper left",
                "[2026-11-21 10:54:27] app.CRITICAL: no paper left",
                "2026-11-21 10:54:27.123 UTC [42] FATAL:  the database is starting up",
                "npm ERR! missing script: start",
                "panic: runtime error: index out of range",
                "thread 'main' panicked at src/main.rs:3:5:",
                "Traceback (most recent call last):",
            ],
        );
        said(
            Some(Level::Warn),
            &[
                "WARN  shelf is nearly full",
                "[warn] shelf",
                "Warning: shelf",
                "lvl=warn msg=shelf",
                "10:54:27 WARNING shelf",
            ],
        );
        said(
            Some(Level::Info),
            &["INFO ready", "<info> ready", "level=info msg=ready", "I1121 10:54:27.0 1 x.go:1] ready"],
        );
        said(Some(Level::Debug), &["DEBUG page 3", "2026-11-21 TRACE page 3", r#"{"level":"debug"}"#]);
        said(
            None,
            &[
                "",
                "127.0.0.1 - - [21/Nov/2026 10:54:27] \"GET /errors HTTP/1.1\" 404 -",
                "no error was found",
                "the level: high",
                "it went well; information: none",
                "Ein Fehler: ERRATUM",
                "ひどいエラー",
            ],
        );
    }

    fn line(server: &str, place: &str, at: i64, text: &str) -> LogLine {
        LogLine {
            position: place.into(),
            at,
            server: server.into(),
            source: "main".into(),
            text: text.into(),
            level: level_of(text),
            skipped: 0,
        }
    }

    #[test]
    fn a_line_is_asked_for_when_all_of_it_is_true() {
        let warned = line("web", "1.7", 1000, "WARN the Shelf is full");
        let asked = |change: fn(&mut Selection)| {
            let mut selection = Selection::default();
            change(&mut selection);
            selection.matches(&warned)
        };
        assert!(asked(|_| ()));
        assert!(asked(|all| all.search = Some("shelf IS".into())));
        assert!(!asked(|all| all.search = Some("shelves".into())));
        assert!(asked(|all| all.level = Some(Level::Info)));
        assert!(!asked(|all| all.level = Some(Level::Error)));
        assert!(!asked(|all| all.since = Some(1001)));
        let plain = line("web", "1.8", 1000, "no level");
        assert!(!Selection { level: Some(Level::Debug), ..Selection::default() }.matches(&plain));
    }

    #[test]
    fn what_is_before_some_lines_is_told_by_position_and_for_other_servers_by_time() {
        let shown = [line("web", "2.5", 1000, "a"), line("api", "1.9", 1001, "b"), line("web", "2.6", 1002, "c")];
        let before = Before::parse(&app::api::earlier_than(&shown).unwrap()).unwrap();
        let is_before = |server, place, at| before.has(&line(server, place, at, ""));
        assert!(is_before("web", "2.4", 1000) && is_before("web", "1.900", 5000) && is_before("api", "1.8", 1001));
        assert!(!is_before("web", "2.5", 900) && !is_before("api", "1.9", 1001));
        assert!(is_before("db", "1.1", 1000) && !is_before("db", "1.2", 1001));
        for odd in ["", "x", "12", "12,", "12,web", "12,web:x", "12,web:1.x"] {
            assert_eq!(Before::parse(odd), None, "{odd}");
        }
    }
}
