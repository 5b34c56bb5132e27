//! Reading keys strictly: an unknown key, a missing one, a value of the wrong kind each become one [`Problem`], and reading
//! goes on, so that a curator sees everything at once. Where a value is wrong the reader goes on with an empty one; the
//! template is thrown away at the end because there are problems.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use super::yaml::{Key, Node, Value};
use crate::domain::template::expression::{Mistake, Name, Text};
use crate::domain::template::problem::{Position, Problem, did_you_mean};
use crate::domain::template::quantity;

/// One file being read.
pub struct Reading<'s> {
    source: &'s str,
    problems: RefCell<Vec<Problem>>,
}

impl<'s> Reading<'s> {
    pub fn new(source: &'s str, problems: Vec<Problem>) -> Self {
        Self { source, problems: RefCell::new(problems) }
    }
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
    pub fn report(&self, at: Position, key: &str, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem { at, key: key.into(), message: message.into() });
    }

    /// Where the given part of a scalar stands; the scalar's begin when it is written differently there (escapes).
    pub fn position_of(&self, node: &Node, part: &str) -> Position {
        let Some(offset) = self.source.get(node.bytes.clone()).and_then(|written| written.find(part)) else {
            return node.at;
        };
        let before = &self.source[..node.bytes.start + offset];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Position {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// A mapping of free names (servers, volumes …) to what each is; nothing when the key is absent.
    pub fn named<'n>(&self, fields: &Fields<'_, 'n>, key: &str) -> Vec<(&'n Key, &'n Node, String)> {
        if let Some((node, path)) = fields.get(key)
            && !matches!(node.value, Value::Mapping(_))
        {
            self.report(node.at, &path, "should be a mapping: one line `NAME:` for each");
        }
        self.peek_named(fields, key)
    }

    /// The same, reporting nothing: for a look ahead.
    pub fn peek_named<'n>(&self, fields: &Fields<'_, 'n>, key: &str) -> Vec<(&'n Key, &'n Node, String)> {
        match fields.get(key) {
            Some((Node { value: Value::Mapping(entries), .. }, path)) => {
                entries.iter().map(|(key, node)| (key, node, format!("{path}.{}", key.text))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Text in which names are substituted. `forbidden` says what is wrong with a name at this place, if anything.
    pub fn expression(&self, node: &Node, path: &str, forbidden: impl Fn(&Name) -> Option<String>) -> Text {
        let Some(text) = self.scalar(node, path, 4096) else { return Text::default() };
        let text = match Text::parse(&text) {
            Ok(text) => text,
            Err(mistakes) => {
                for Mistake { written, message } in mistakes {
                    self.report(self.position_of(node, &written), path, format!("`{written}` {message}"));
                }
                return Text::default();
            }
        };
        for name in text.names() {
            if let Some(message) = forbidden(name) {
                let written = name.written();
                self.report(self.position_of(node, &written), path, format!("`{written}` {message}"));
            }
        }
        text
    }

    /// Any scalar's text, several lines and none allowed; `None` when it is not there, which is then reported.
    pub fn scalar(&self, node: &Node, path: &str, max_characters: usize) -> Option<String> {
        match &node.value {
            Value::Scalar { text, plain } if !is_absent(text, *plain) => {
                let count = text.chars().count();
                if count > max_characters {
                    self.report(node.at, path, format!("has {count} characters; {max_characters} are allowed"));
                }
                return Some(text.clone());
            }
            Value::Scalar { .. } => self.report(node.at, path, "has no value; give one or leave the key out"),
            Value::Sequence(_) => self.wrong(node, path, "should be a text, not a list"),
            Value::Mapping(_) => self.wrong(node, path, "should be a text, not a mapping"),
        }
        None
    }

    /// Text that says something, several lines allowed.
    pub fn text(&self, node: &Node, path: &str, max_characters: usize) -> String {
        let text = self.scalar(node, path, max_characters);
        if text.as_deref().is_some_and(|text| text.trim().is_empty()) {
            self.report(node.at, path, "is empty; write something or leave the key out");
        }
        text.unwrap_or_default()
    }

    /// Text of one line that says something.
    pub fn line(&self, node: &Node, path: &str, max_characters: usize) -> String {
        let text = self.text(node, path, max_characters);
        if text.trim_end().contains('\n') {
            self.report(node.at, path, "should be one line");
        }
        text.trim_end().to_owned()
    }

    /// Text that has a form; `form` says in words which.
    pub fn formed(&self, node: &Node, path: &str, form: &str, fits: impl Fn(&str) -> bool) -> String {
        let text = self.scalar(node, path, usize::MAX);
        if let Some(text) = text.as_deref().filter(|text| !fits(text)) {
            self.report(node.at, path, format!("`{}` should be {form}", shortened(text)));
        }
        text.unwrap_or_default()
    }

    pub fn integer(&self, node: &Node, path: &str, range: RangeInclusive<i64>) -> i64 {
        if let Value::Scalar { text, plain: true } = &node.value
            && let Ok(number) = text.parse::<i64>()
            && range.contains(&number)
        {
            return number;
        }
        let (from, to) = range.into_inner();
        let bounds = match (from, to) {
            (i64::MIN, i64::MAX) => String::new(),
            _ => format!(" from {from} to {to}"),
        };
        self.wrong(node, path, &format!("should be a whole number{bounds}, without quotes"));
        from
    }

    pub fn boolean(&self, node: &Node, path: &str) -> bool {
        match &node.value {
            Value::Scalar { text, plain: true } if text == "true" => true,
            Value::Scalar { text, plain: true } if text == "false" => false,
            _ => {
                self.wrong(node, path, "should be `true` or `false`, without quotes");
                false
            }
        }
    }

    pub fn duration_ms(&self, node: &Node, path: &str, range: RangeInclusive<u64>) -> u64 {
        let Some(text) = self.scalar(node, path, 40) else { return 0 };
        match quantity::milliseconds(&text) {
            Some(value) if range.contains(&value) => return value,
            Some(_) => {
                let (from, to) = range.into_inner();
                let words =
                    |ms: u64| if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") };
                self.report(node.at, path, format!("`{text}` should be from {} to {}", words(from), words(to)));
            }
            None => {
                self.report(
                    node.at,
                    path,
                    format!("`{}` should be a duration like `500ms`, `5s`, `2m`", shortened(&text)),
                );
            }
        }
        0
    }

    pub fn list<'n>(&self, node: &'n Node, path: &str) -> Vec<(&'n Node, String)> {
        match &node.value {
            Value::Sequence(items) => {
                items.iter().enumerate().map(|(index, item)| (item, format!("{path}[{index}]"))).collect()
            }
            _ => {
                self.wrong(node, path, "should be a list: `[a, b]`, or one line `- a` for each");
                Vec::new()
            }
        }
    }

    pub fn wrong(&self, node: &Node, path: &str, message: &str) {
        let found = match &node.value {
            Value::Scalar { text, plain } if is_absent(text, *plain) => "has no value; it ".to_owned(),
            Value::Scalar { text, .. } => format!("`{}` ", shortened(text)),
            _ => String::new(),
        };
        self.report(node.at, path, format!("{found}{message}"));
    }
}

/// The keys of one mapping.
pub struct Fields<'r, 'n> {
    reading: &'r Reading<'r>,
    pub path: String,
    pub at: Position,
    entries: &'n [(Key, Node)],
}

impl<'r, 'n> Fields<'r, 'n> {
    /// `None` when it is no mapping; unknown keys are reported here.
    pub fn open(reading: &'r Reading<'r>, node: &'n Node, path: &str, known: &[&str]) -> Option<Self> {
        let Value::Mapping(entries) = &node.value else {
            reading.wrong(node, path, &format!("should be a mapping with the keys {}", words(known)));
            return None;
        };
        for (key, _) in entries {
            if !known.contains(&key.text.as_str()) && key.text != "<<" {
                let path = if path.is_empty() { key.text.clone() } else { format!("{path}.{}", key.text) };
                let hint = did_you_mean(&key.text, known.iter().copied());
                let known = if hint.is_empty() { format!("; known here are {}", words(known)) } else { hint };
                reading.report(key.at, &path, format!("unknown key{known}"));
            }
        }
        Some(Self { reading, path: path.into(), at: node.at, entries })
    }

    pub fn get(&self, key: &str) -> Option<(&'n Node, String)> {
        let (_, node) = self.entries.iter().find(|(entry, _)| entry.text == key)?;
        Some((node, self.path_of(key)))
    }

    pub fn required(&self, key: &str) -> Option<(&'n Node, String)> {
        let found = self.get(key);
        if found.is_none() {
            let whose = if self.path.is_empty() { "a template" } else { "this" };
            self.reading.report(self.at, &self.path_of(key), format!("is missing; {whose} needs it"));
        }
        found
    }

    /// A list of texts of one line, each only once.
    pub fn words(&self, key: &str, form: &str, fits: impl Fn(&str) -> bool) -> Vec<(String, Position)> {
        let Some((node, path)) = self.get(key) else { return Vec::new() };
        let mut words: Vec<(String, Position)> = Vec::new();
        for (item, path) in self.reading.list(node, &path) {
            let word = self.reading.formed(item, &path, form, &fits);
            if words.iter().any(|(other, _)| *other == word) {
                self.reading.report(item.at, &path, format!("`{}` is in the list twice", shortened(&word)));
            }
            words.push((word, item.at));
        }
        words
    }

    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) }
    }
}

fn is_absent(text: &str, plain: bool) -> bool {
    plain && matches!(text, "" | "~" | "null")
}

fn words(known: &[&str]) -> String {
    known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// For messages: one line, at most 60 characters.
pub fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(60).collect();
    if short.len() < text.trim_end().len() { format!("{short}…") } else { short }
}
