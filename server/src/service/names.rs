//! Names for environments nobody named: what it is made from, and a word one can say aloud.

const WORDS: [&str; 64] = [
    "alder", "amber", "aspen", "badger", "beech", "birch", "bison", "bloom", "brook", "cedar", "clover", "cobalt",
    "comet", "coral", "crane", "dune", "ember", "falcon", "fern", "finch", "fjord", "flint", "gale", "garnet", "glade",
    "harbor", "hazel", "heron", "iris", "ivy", "jade", "juniper", "kite", "lagoon", "larch", "lark", "linden", "lotus",
    "lynx", "maple", "marten", "meadow", "mint", "moss", "nectar", "oak", "olive", "opal", "orchid", "otter", "pebble",
    "pine", "plover", "quartz", "raven", "reed", "robin", "sage", "sorrel", "spruce", "swift", "thistle", "willow",
    "wren",
];

/// Room for a hyphen, the longest word and a number.
const LONGEST_STEM: usize = 28;

/// A name from these random bytes; after the first collision with a number, so that there are enough.
pub fn made_up(template: &str, random: [u8; 3], attempt: u32) -> String {
    let stem: String = template.chars().take(LONGEST_STEM).collect();
    let word = WORDS[usize::from(random[0]) % WORDS.len()];
    let stem = stem.trim_end_matches('-');
    match attempt {
        0 => format!("{stem}-{word}"),
        _ => format!("{stem}-{word}-{}", u16::from_be_bytes([random[1], random[2]]) % 900 + 100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::template::names::is_label;

    #[test]
    fn every_made_up_name_is_a_name() {
        for word in 0..=255 {
            for template in ["scratch", "a-template-with-a-very-long-name-in-deed-x"] {
                for attempt in 0..2 {
                    let name = made_up(template, [word, 255, 255], attempt);
                    assert!(is_label(&name), "{name}");
                }
            }
        }
    }
}
