//! Sizes, durations and shares of a processor, as templates write them.

/// `512 MiB`, `1GiB`: bytes. `None` when it is no size.
pub fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let shift = match unit {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// `500ms`, `5s`, `2m`, `1h`: milliseconds. `None` when it is no duration.
pub fn milliseconds(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// `2`, `0.5`: thousandths of one processor. `None` when it is no such number.
pub fn cpu_millis(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return None;
    }
    let fraction: u32 = format!("{fraction:0<3}").parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(1000)?.checked_add(fraction)
}

/// As people read it: `1.5 GiB`, `512 MiB`.
pub fn display_bytes(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        None => format!("{bytes} bytes"),
        Some((shift, unit)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            if tenths % 10 == 0 {
                format!("{} {unit}", tenths / 10)
            } else {
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            }
        }
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let unit_from = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..unit_from].parse().ok()?, text[unit_from..].trim_start_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_exactly_or_not_at_all() {
        assert_eq!(bytes("512 MiB"), Some(512 << 20));
        assert_eq!(bytes("1GiB"), Some(1 << 30));
        assert_eq!(milliseconds("500ms"), Some(500));
        assert_eq!(milliseconds("2m"), Some(120_000));
        assert_eq!(cpu_millis("0.25"), Some(250));
        assert_eq!(cpu_millis("2"), Some(2000));
        for wrong in ["", "1", "GiB", "1 GB", "-1 GiB", "1.5 GiB", "99999999999999999999 MiB", "99999999 TiB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
        for wrong in ["", "5", "s", "5 sec", "-5s", "5 s s"] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
        for wrong in ["", ".5", "0.", "0.1234", "-1", "1e3", "5000000"] {
            assert_eq!(cpu_millis(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_are_shown_with_the_largest_unit_that_fits() {
        assert_eq!(display_bytes(1536 << 20), "1.5 GiB");
        assert_eq!(display_bytes(512 << 20), "512 MiB");
        assert_eq!(display_bytes(12), "12 bytes");
        assert_eq!(display_bytes(u64::MAX), "16777215.9 TiB");
    }
}
