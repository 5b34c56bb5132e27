//! A template's pattern as browsers understand it. Templates speak the `regex` crate's language, a field's `pattern` that of
//! JavaScript with the flag `v` (HTML, "the pattern attribute"); the two agree on a plain core and differ beside it, where a
//! browser would refuse what the portal takes. A pattern outside that core stays with the portal, which has the last word
//! anyway.

/// The same pattern for a browser; `None` when it cannot be sure to mean the same there.
pub(super) fn for_browsers(pattern: &str) -> Option<String> {
    let mut written = String::new();
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\\' => written.push_str(&escaped(rest.next()?)?),
            '[' => class(&mut rest, &mut written)?,
            '(' => {
                written.push('(');
                if rest.next_if_eq(&'?').is_some() {
                    // Flags, names and everything else that begins like this differs.
                    rest.next_if_eq(&':')?;
                    written.push_str("?:");
                }
            }
            '{' => {
                let inside: String = std::iter::from_fn(|| rest.next_if(|one| *one != '}')).collect();
                rest.next_if_eq(&'}')?;
                let mut numbers = inside.splitn(2, ',');
                let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let first = numbers.next().is_some_and(is_number);
                let second = numbers.next().is_none_or(|second| second.is_empty() || is_number(second));
                if !(first && second) {
                    return None;
                }
                written.push('{');
                written.push_str(&inside);
                written.push('}');
            }
            // Text boundaries: the whole value is matched, so at most they say so again.
            '^' | '$' | '.' | '|' | ')' | '*' | '+' | '?' => written.push(character),
            '}' | ']' | '/' => {
                written.push('\\');
                written.push(character);
            }
            literal => written.push(literal),
        }
    }
    Some(written)
}

/// A class of single characters and ranges. Classes in classes, and the doubled signs that JavaScript gives a meaning there,
/// are left alone.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, written: &mut String) -> Option<()> {
    written.push('[');
    if rest.next_if_eq(&'^').is_some() {
        written.push('^');
    }
    let (mut items, mut range_from) = (0, None);
    loop {
        match rest.next()? {
            ']' if items == 0 => written.push_str("\\]"),
            ']' => break,
            '[' => return None,
            '\\' => written.push_str(&escaped(rest.next()?)?),
            // At either end a hyphen is itself; in the middle it makes a range.
            '-' if items == 0 || rest.peek() == Some(&']') => written.push_str("\\-"),
            // A range cannot go on from its own end.
            '-' if range_from.is_some_and(|from| items <= from + 2) => return None,
            '-' => {
                range_from = Some(items);
                written.push('-');
            }
            special @ ('(' | ')' | '{' | '}' | '/' | '|') => {
                written.push('\\');
                written.push(special);
            }
            doubled if "&!#$%*+,.:;<=>?@^`~".contains(doubled) && rest.peek() == Some(&doubled) => return None,
            literal => written.push(literal),
        }
        items += 1;
    }
    written.push(']');
    Some(())
}

fn escaped(character: char) -> Option<String> {
    match character {
        'd' => Some("\\p{Nd}".into()),
        't' | 'n' | 'r' => Some(format!("\\{character}")),
        '.' | '*' | '+' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' | '-' | '/' | '\\' => {
            Some(format!("\\{character}"))
        }
        sign if sign.is_ascii_punctuation() => Some(sign.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::for_browsers;

    #[test]
    fn a_plain_pattern_means_the_same_in_a_browser() {
        for (pattern, expected) in [
            ("[a-z]([a-z0-9-]*[a-z0-9])?", "[a-z]([a-z0-9\\-]*[a-z0-9])?"),
            ("[^<>]*", "[^<>]*"),
            (r"\d{1,3}(\.\d{1,3}){3}", r"\p{Nd}{1,3}(\.\p{Nd}{1,3}){3}"),
            ("(?:a|b)+?", "(?:a|b)+?"),
            ("[-a(/]", r"[\-a\(\/]"),
            ("[]a]", r"[\]a]"),
            ("a/b}", r"a\/b\}"),
            (r"\#\@", "#@"),
        ] {
            assert_eq!(for_browsers(pattern).as_deref(), Some(expected), "{pattern}");
        }
    }

    #[test]
    fn what_a_browser_would_read_otherwise_is_left_to_the_portal() {
        for pattern in [
            "(?i)abc",
            r"\w+",
            r"\pL+",
            r"\bword",
            "[[:alpha:]]",
            "[a&&b]",
            "(?P<name>a)",
            "a{,3}",
            r"\x41",
            "[a-z",
            "a{2",
            "[a-z-9]",
        ] {
            assert_eq!(for_browsers(pattern), None, "{pattern}");
        }
    }
}
