//! Masking: no secret of the order is readable in a log, whatever printed it.
//!
//! Masks the value itself and the disguises a shell trick or a library commonly gives it: base64, hexadecimal, URL encoding,
//! reversed, and each line of a longer text. A script that spells a secret letter by letter is not found out; nothing that
//! reads lines can.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Shorter values are not masked: they would blacken half of every log and are no secrets worth the name.
const SHORTEST: usize = 4;

const MASK: &str = "***";

#[derive(Default)]
pub(super) struct Masker {
    /// Longest first, so that a value containing another is masked whole.
    needles: Vec<String>,
}

impl Masker {
    pub fn new(secrets: &[String]) -> Self {
        let mut needles: Vec<String> = secrets
            .iter()
            .flat_map(|secret| std::iter::once(secret.as_str()).chain(secret.lines()))
            .filter(|value| value.trim().len() >= SHORTEST)
            .flat_map(disguises)
            .collect();
        needles.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Self { needles }
    }

    pub fn mask(&self, mut line: String) -> String {
        for needle in &self.needles {
            if line.contains(needle.as_str()) {
                line = line.replace(needle.as_str(), MASK);
            }
        }
        line
    }
}

fn disguises(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let url: String = bytes
        .iter()
        .map(|&byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let mut all = vec![value.to_owned(), value.chars().rev().collect(), hex.to_uppercase(), hex, url];
    // In the middle of other data the same bytes have three base64 forms, by their place modulo 3; what is masked is the
    // part that depends on no neighbour.
    for skipped in 0..3 {
        let whole = bytes.len().saturating_sub(skipped) / 3 * 3;
        let inner = bytes.get(skipped..skipped + whole).unwrap_or_default();
        if inner.len() >= SHORTEST {
            all.push(STANDARD_NO_PAD.encode(inner));
            all.push(URL_SAFE_NO_PAD.encode(inner));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_23_a_secret_in_common_disguises_is_masked() {
        let secret = "c4nary-Secret/42";
        let masker = Masker::new(&[secret.to_owned()]);
        let reversed: String = secret.chars().rev().collect();
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for line in [
            format!("password={secret};"),
            format!("rev {reversed}"),
            format!("hex {hex}"),
            "url c4nary-Secret%2F42".to_owned(),
        ] {
            let masked = masker.mask(line);
            assert!(masked.contains(MASK), "{masked}");
            assert!(!masked.contains("Secret") && !masked.contains("terceS"), "{masked}");
        }
        for before in ["", "x", "xy"] {
            let encoded = STANDARD_NO_PAD.encode(format!("{before}{secret} and more"));
            let masked = masker.mask(encoded.clone());
            assert!(masked.contains(MASK), "{before}: {encoded} -> {masked}");
        }
    }

    #[test]
    fn lines_of_a_longer_secret_are_masked_and_short_values_leave_the_log_readable() {
        let masker = Masker::new(&["-----BEGIN KEY-----\nabcdefgh\n-----END KEY-----".to_owned(), "on".to_owned()]);
        assert_eq!(masker.mask("read abcdefgh here, turned on".to_owned()), "read *** here, turned on");
    }
}
