//! What the file with provisioners leaves to the environment: `${NAME}` in a text stands for the variable of that name, so that
//! what differs from machine to machine, or is not for everybody's eyes, need not stand in the file.
//!
//! Done on what was read, never on the file's own text: a value is a text, whatever it has in it, and is not looked through again.

use toml::{Table, Value};

/// What stands where one cannot be put in: the key, and what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfilled {
    pub key: String,
    pub problem: String,
}

const OPENS: &str = "${";

/// Fills all texts of a table, those in its tables and lists, too. Keys are as they stand.
///
/// # Errors
/// The first that cannot be filled.
pub(super) fn fill(table: &mut Table, variable: &dyn Fn(&str) -> Option<String>) -> Result<(), Unfilled> {
    table.iter_mut().try_for_each(|(key, value)| fill_value(key, value, variable))
}

fn fill_value(key: &str, value: &mut Value, variable: &dyn Fn(&str) -> Option<String>) -> Result<(), Unfilled> {
    match value {
        Value::String(text) => {
            *text = filled(text, variable).map_err(|problem| Unfilled { key: key.to_owned(), problem })?;
            Ok(())
        }
        Value::Array(all) => {
            let mut all = all.iter_mut().enumerate();
            all.try_for_each(|(number, value)| fill_value(&format!("{key}[{number}]"), value, variable))
        }
        Value::Table(table) => {
            table.iter_mut().try_for_each(|(inner, value)| fill_value(&format!("{key}.{inner}"), value, variable))
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => Ok(()),
    }
}

/// `$${` is `${` itself.
fn filled(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPENS) {
        if let Some(before) = before.strip_suffix('$') {
            filled.extend([before, OPENS]);
            rest = after;
            continue;
        }
        let named = after.split_once('}').filter(|(name, _)| is_name(name));
        let (name, after) =
            named.ok_or("has `${` and no variable's name and `}` after it; write `$${` for `${` itself")?;
        let value = variable(name).ok_or_else(|| {
            format!("wants the variable {name}, which is not set; set it for `bookend serve` and `bookend doctor ec2`")
        })?;
        filled.extend([before, &value]);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str) -> Option<String> {
        let value = match name {
            "HOST" => "proxy.example.com",
            "PORT" => "3128",
            "QUOTE" => "a\"\nregion = \"nowhere",
            "AGAIN" => "${HOST}",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn a_text_may_be_a_variable_hold_some_or_none() {
        for (text, wanted) in [
            ("${HOST}", "proxy.example.com"),
            ("http://${HOST}:${PORT}/", "http://proxy.example.com:3128/"),
            ("a $ and a {HOST}, $HOST", "a $ and a {HOST}, $HOST"),
            ("$${HOST} is ${HOST}", "${HOST} is proxy.example.com"),
            ("${AGAIN}", "${HOST}"),
            ("ends in $", "ends in $"),
        ] {
            assert_eq!(filled(text, &variable).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_names_no_variable_is_told() {
        for text in ["${", "${HOST", "${}", "${A B}", "${1}", "${HOST:-none}", "é${"] {
            let told = filled(text, &variable).unwrap_err();
            assert!(told.contains("write `$${`"), "{text}: {told}");
        }
    }

    #[test]
    fn texts_are_filled_wherever_they_stand_and_a_value_is_never_more_than_a_text() {
        let mut table: Table =
            "list = [\"x\", \"${PORT}\"]\nnumber = 3\n[inner.table]\n\"${HOST}\" = \"${QUOTE}\"\n".parse().unwrap();
        fill(&mut table, &variable).unwrap();
        assert_eq!(table["list"][1].as_str(), Some("3128"), "{table:?}");
        assert_eq!(table["inner"]["table"]["${HOST}"].as_str(), Some("a\"\nregion = \"nowhere"), "{table:?}");
    }

    #[test]
    fn what_is_not_set_is_named_with_where_it_stands() {
        let mut table: Table = "a = [{ b = [\"x\", \"${NOBODYS}\"] }]".parse().unwrap();
        let unfilled = fill(&mut table, &variable).unwrap_err();
        assert_eq!(unfilled.key, "a[0].b[1]");
        assert!(unfilled.problem.contains("the variable NOBODYS, which is not set"), "{unfilled:?}");
    }
}
