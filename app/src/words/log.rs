//! Log text, made fit to be read on a page.

/// Without terminal sequences and control characters: colours, cursor moves and titles mean nothing outside a terminal.
/// Tabs stay.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.next() {
                // CSI: parameters, then one final byte.
                Some('[') => while characters.next().is_some_and(|next| !('@'..='~').contains(&next)) {},
                // OSC, DCS and the like: up to BEL or ESC \.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while let Some(next) = characters.next() {
                        if next == '\u{7}' || next == '\u{1b}' {
                            characters.next_if_eq(&'\\');
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\t' => shown.push('\t'),
            hidden if hidden.is_control() => {}
            // Marks that reorder or hide what follows.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}' => {}
            visible => shown.push(visible),
        }
    }
    shown
}

/// Where `wanted` first is in `text`, whatever the case of ASCII letters.
pub fn find(text: &str, wanted: &str) -> Option<usize> {
    // Equal bytes begin and end where characters do.
    (!wanted.is_empty())
        .then(|| text.as_bytes().windows(wanted.len()).position(|part| part.eq_ignore_ascii_case(wanted.as_bytes())))
        .flatten()
}

/// Whether a line's position in its server's log (`GENERATION.SEQ`) comes after another.
pub fn is_after(position: &str, last: &str) -> bool {
    match (parsed(position), parsed(last)) {
        (Some(position), Some(last)) => position > last,
        _ => position != last,
    }
}

fn parsed(position: &str) -> Option<(i64, i64)> {
    let (generation, number) = position.split_once('.')?;
    Some((generation.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack 15, in log lines.
    #[test]
    fn terminal_sequences_leave_only_their_text() {
        assert_eq!(plain("\u{1b}[1;31merror\u{1b}[0m: \u{1b}]0;owned\u{7}disk\u{8} full\r"), "error: disk full");
        assert_eq!(plain("a\u{1b}]8;;http://evil\u{1b}\\link\u{1b}]8;;\u{1b}\\\tz"), "alink\tz");
        assert_eq!(plain("safe\u{202e}txt.exe\u{0}"), "safetxt.exe");
        assert_eq!(plain("\u{1b}[31"), "");
    }

    #[test]
    fn a_text_is_found_whatever_its_case_and_only_as_whole_characters() {
        assert_eq!(find("The Größe of it", "größe"), Some(4));
        assert_eq!(find("The Größe of it", "GRÖSSE"), None);
        assert_eq!(find("ready", "READY"), Some(0));
        assert_eq!((find("ready", ""), find("", "x"), find("x", "xy")), (None, None, None));
    }

    #[test]
    fn positions_count_by_generation_first() {
        assert!(is_after("2.1", "1.900"));
        assert!(is_after("1.10", "1.9"));
        assert!(!is_after("1.9", "1.9"));
    }
}
