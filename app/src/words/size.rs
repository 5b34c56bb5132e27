//! Sizes and shares as people say them.

/// "512 MiB", "1.5 GiB".
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut tenths = u128::from(count) * 10;
    let mut unit = 0;
    tenths /= 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    match tenths % 10 {
        0 => format!("{} {}", tenths / 10, UNITS[unit]),
        _ if tenths >= 1_000 => format!("{} {}", tenths / 10, UNITS[unit]),
        rest => format!("{}.{rest} {}", tenths / 10, UNITS[unit]),
    }
}

/// "0.5 CPU", "2 CPUs".
pub fn cpus(millis: u32) -> String {
    match (millis / 1000, millis % 1000 / 100) {
        (1, 0) => "1 CPU".into(),
        (whole, 0) => format!("{whole} CPUs"),
        (whole, tenth) => format!("{whole}.{tenth} CPU{}", if whole == 0 { "" } else { "s" }),
    }
}

/// "$15.18", "$1,234.50".
pub fn dollars(cents: u64) -> String {
    let whole = (cents / 100).to_string();
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("${grouped}.{:02}", cents % 100)
}

/// "1 server", "3 servers".
pub fn count(number: u32, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_have_cents_and_groups_of_three() {
        assert_eq!([0, 5, 1518, 123_456_789].map(dollars), ["$0.00", "$0.05", "$15.18", "$1,234,567.89"]);
    }

    #[test]
    fn sizes_use_the_largest_fitting_unit_and_drop_needless_digits() {
        let said = [0, 1023, 1024, 1536, 512 << 20, 1_610_612_736, 150 << 30, u64::MAX].map(bytes);
        assert_eq!(said, ["0 B", "1023 B", "1 KiB", "1.5 KiB", "512 MiB", "1.5 GiB", "150 GiB", "16383 PiB"]);
    }

    #[test]
    fn processor_shares_are_said_in_cpus() {
        assert_eq!([500, 1000, 1500, 4000].map(cpus), ["0.5 CPU", "1 CPU", "1.5 CPUs", "4 CPUs"]);
    }
}
