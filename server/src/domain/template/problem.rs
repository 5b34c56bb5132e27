//! What is wrong with a template: where, at which key, and what would be right.

use std::fmt;

use serde::Serialize;

/// Line and column, both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(flatten)]
    pub at: Position,
    /// The key's path, `servers.db.needs[0]`; empty when the file cannot be read as YAML at all.
    pub key: String,
    /// What is wrong and what would be right, one sentence.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.at.line, self.at.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with one file, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `None` when nothing is wrong.
    pub(super) fn found(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by_key(|problem| problem.at);
        (!problems.is_empty()).then_some(Self(problems))
    }
    pub(super) fn one(message: &str) -> Self {
        let at = Position { line: 1, column: 1 };
        Self(vec![Problem { at, key: String::new(), message: message.into() }])
    }
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
    /// One line per problem, each beginning with `FILE:LINE:COLUMN:`, as editors and terminals understand it.
    pub fn in_file(&self, file: &str) -> String {
        self.0.iter().map(|problem| format!("{file}:{problem}")).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// `; did you mean …?` when one of the known words is close to the given one, else nothing.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let allowed = (given.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|word| (distance(given, word), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| format!("; did you mean `{word}`?"))
        .unwrap_or_default()
}

/// Edits (insert, remove, replace, swap neighbours) that turn one word into the other; case does not count.
fn distance(a: &str, b: &str) -> usize {
    let lower = |text: &str| text.chars().take(64).flat_map(char::to_lowercase).collect::<Vec<_>>();
    let (a, b) = (lower(a), lower(b));
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = a[i - 1] == b[j - 1];
            let mut best = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + usize::from(!same));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_a_stranger_is_not() {
        let known = ["parameters", "servers", "size", "startup", "setup"];
        for (given, meant) in [("server", "servers"), ("Setup", "setup"), ("prameters", "parameters"), ("szie", "size")]
        {
            assert_eq!(did_you_mean(given, known), format!("; did you mean `{meant}`?"));
        }
        for stranger in ["frobnicate", "x", ""] {
            assert_eq!(did_you_mean(stranger, known), "");
        }
    }
}
