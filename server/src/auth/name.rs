//! Sign-in names: one spelling per person, so that neither case nor odd characters make a second one.

use app::api::FieldError;

const LONGEST: usize = 100;

/// The one spelling of a sign-in name: ASCII lower case.
///
/// # Errors
/// The field `name` and what would be right.
pub fn sign_in_name(typed: &str) -> Result<String, FieldError> {
    let name = typed.trim_matches(' ').to_ascii_lowercase();
    let wrong = |message: &str| Err(FieldError { field: "name".into(), message: message.into() });
    if name.is_empty() {
        return wrong("is empty; give a sign-in name such as `ann`");
    }
    if name.len() > LONGEST {
        return wrong("is longer than 100 characters");
    }
    if !name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit()) {
        return wrong("begins with something else than a letter or digit");
    }
    if !name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'+' | b'@')) {
        return wrong("has a character other than letters a–z, digits and `. _ - + @`");
    }
    Ok(name)
}

/// What failed attempts are counted under, whatever was typed: everything that is not part of a name is left out, so that
/// a NUL, a space or another case (Octopus CVE-2022-2778) does not begin a new count.
pub fn counted_as(typed: &str) -> String {
    typed
        .chars()
        .filter(|character| character.is_alphanumeric() || "._-+@".contains(*character))
        .flat_map(char::to_lowercase)
        .take(LONGEST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_type_a_name_is_one_name() {
        assert_eq!(sign_in_name(" Ann ").unwrap(), "ann");
        assert_eq!(sign_in_name("ann.b+x@corp.example").unwrap(), "ann.b+x@corp.example");
    }

    #[test]
    fn names_that_could_mean_something_elsewhere_are_refused() {
        for odd in ["", "  ", "-rf", "ann\0", "ann\n", "an n", "änn", "$(id)", "../ann", "a\"b", &"a".repeat(101)] {
            assert_eq!(sign_in_name(odd).unwrap_err().field, "name", "{odd:?}");
        }
    }

    #[test]
    fn variants_of_a_name_share_one_count() {
        for variant in ["ann", "ANN", "ann\0", "\0ann", " a\tnn", "ann\u{200b}"] {
            assert_eq!(counted_as(variant), "ann", "{variant:?}");
        }
    }
}
