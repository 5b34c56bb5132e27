//! Filters of describes: a name and values of which one must fit. `*` stands for any text, `?` for one character.

use crate::problem::Problem;
use crate::query::Asked;

/// Of one call, all values of all filters together.
const MOST_VALUES: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    pub name: String,
    pub values: Vec<String>,
}

impl Filter {
    /// All filters of a call.
    pub fn read(asked: &Asked<'_>) -> Result<Vec<Self>, Problem> {
        let mut filters = Vec::new();
        for item in asked.items("Filter") {
            let name = item.required("Name")?.to_owned();
            let values: Vec<String> = item.list("Value").into_iter().map(str::to_owned).collect();
            if values.is_empty() {
                return Err(Problem::client("InvalidParameterValue", format!("The filter '{name}' has no values")));
            }
            filters.push(Self { name, values });
        }
        if filters.iter().map(|filter| filter.values.len()).sum::<usize>() > MOST_VALUES {
            let message = format!("The maximum number of filter values specified on a single call is {MOST_VALUES}");
            return Err(Problem::client("FilterLimitExceeded", message));
        }
        Ok(filters)
    }

    pub fn unknown(&self) -> Problem {
        Problem::client("InvalidParameterValue", format!("The filter '{}' is invalid", self.name))
    }

    pub fn fits(&self, value: &str) -> bool {
        self.values.iter().any(|pattern| matches(pattern, value))
    }

    pub fn has_wildcard(&self) -> bool {
        self.values.iter().any(|value| value.contains(['*', '?', '\\']))
    }
}

/// A backslash before a wildcard makes it a character like any other.
pub fn matches(pattern: &str, value: &str) -> bool {
    if !pattern.contains(['*', '?', '\\']) {
        return pattern == value;
    }
    let (pattern, value): (Vec<char>, Vec<char>) = (pattern.chars().collect(), value.chars().collect());
    let (mut p, mut v) = (0, 0);
    // Where to go on when a star took too little.
    let mut star: Option<(usize, usize)> = None;
    while v < value.len() {
        let literal = match pattern.get(p) {
            Some('\\') if p + 1 < pattern.len() => Some((pattern[p + 1], 2)),
            Some('*') => {
                star = Some((p + 1, v));
                p += 1;
                continue;
            }
            Some('?') => Some((value[v], 1)),
            Some(other) => Some((*other, 1)),
            None => None,
        };
        match (literal, star) {
            (Some((character, length)), _) if character == value[v] => {
                p += length;
                v += 1;
            }
            (_, Some((after, taken))) => {
                star = Some((after, taken + 1));
                p = after;
                v = taken + 1;
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|character| *character == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_other_text() {
        for (pattern, value, fits) in [
            ("web", "web", true),
            ("web", "web2", false),
            ("w?b*", "web-12", true),
            ("*-12", "web-12-12", true),
            ("a*b*c", "a-b-b-d", false),
            ("*", "", true),
            (r"\*", "*", true),
            (r"\*", "x", false),
        ] {
            assert_eq!(matches(pattern, value), fits, "{pattern} {value}");
        }
    }
}
