//! About what things cost, for telling it: list prices in US dollars, without discounts, taxes and traffic. Nothing is decided by
//! them.
//!
//! What an operator does not say is Amazon's list of us-east-1 for Linux on demand and EBS gp3
//! (<https://aws.amazon.com/ec2/pricing/on-demand/>, <https://aws.amazon.com/ebs/pricing/>); other regions are up to half as much
//! again. Each family was compared in November 2026 with the copy of Amazon's price list that apache-libcloud 3.9.1 carries
//! (`libcloud/data/pricing.json` of 2 March 2025; where that has the price of a dedicated machine for `large`, with another size of
//! the family); volumes and snapshots with what several public tools state for us-east-1, fast snapshot restore with "How AWS
//! Pricing Works" (docs.aws.amazon.com/whitepapers/latest/how-aws-pricing-works/amazon-ebs.html). No more exact source could be asked.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The table `prices` of a provisioner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Of an hour, by instance type.
    #[serde(default)]
    hour: BTreeMap<String, Dollars>,
    /// Of a GiB of a volume for a month.
    volume_gib_month: Option<Dollars>,
    /// Of a GiB of a snapshot for a month.
    snapshot_gib_month: Option<Dollars>,
    /// Of a snapshot's fast restore in one zone, for an hour.
    fast_restore_hour: Option<Dollars>,
    /// Of each GiB that is read in from a snapshot at the rate that is asked for. No source for Amazon's list was found that could be
    /// named here, so it is told only where an operator says it.
    volume_initialization_gib: Option<Dollars>,
}

/// Millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dollars(u64);

/// As Amazon counts a month.
const HOURS: u64 = 730;
/// Millionths of a dollar in a cent.
const CENT: u64 = 10_000;
const VOLUME: Dollars = Dollars(80_000);
const SNAPSHOT: Dollars = Dollars(50_000);
const FAST_RESTORE: Dollars = Dollars(750_000);
/// Millionths an hour of the size `large`; each size is twice the one before.
const LARGE: [(&str, u64); 20] = [
    ("t2", 92_800),
    ("t3", 83_200),
    ("t3a", 75_200),
    ("t4g", 67_200),
    ("m5", 96_000),
    ("m5a", 86_000),
    ("m6i", 96_000),
    ("m6a", 86_400),
    ("m6g", 77_000),
    ("m7i", 100_800),
    ("m7g", 81_600),
    ("c5", 85_000),
    ("c6i", 85_000),
    ("c6a", 76_500),
    ("c6g", 68_000),
    ("c7i", 89_250),
    ("c7g", 72_500),
    ("r5", 126_000),
    ("r6i", 126_000),
    ("r6g", 100_800),
];

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        if !(0.0..=1_000_000.0).contains(&dollars) {
            return Err(serde::de::Error::custom("a price is a number of dollars such as 0.0208"));
        }
        // Not negative, and far from the limit.
        Ok(Self((dollars * 1e6).round() as u64))
    }
}

impl Prices {
    /// Cents a month of a server with this much of disks; `None` when nobody knows its type's price.
    pub fn server(&self, instance_type: &str, runs: bool, disks_gib: i32) -> Option<u64> {
        let hour = if runs { self.hour(instance_type)? } else { Dollars(0) };
        Some(cents(hour.0 * HOURS + self.volumes(disks_gib)))
    }

    pub fn volume(&self, gib: i32) -> u64 {
        cents(self.volumes(gib))
    }

    /// At most: Amazon counts what differs from the snapshot before.
    pub fn snapshot(&self, gib: i32) -> u64 {
        cents(self.snapshot_gib_month.unwrap_or(SNAPSHOT).0 * u64::try_from(gib).unwrap_or(0))
    }

    /// Cents an hour for so many pairs of a snapshot and a zone.
    pub fn fast_restore(&self, pairs: usize) -> u64 {
        cents(self.fast_restore_hour.unwrap_or(FAST_RESTORE).0 * u64::try_from(pairs).unwrap_or(u64::MAX))
    }

    /// Thousandths of a dollar for each GiB of a snapshot.
    pub fn snapshot_gib_millis(&self) -> u64 {
        self.snapshot_gib_month.unwrap_or(SNAPSHOT).0 / 1000
    }

    /// Thousandths of a dollar for each GiB that is read in at a rate; `None`: nobody said.
    pub fn reading_gib_millis(&self) -> Option<u64> {
        self.volume_initialization_gib.map(|dollars| dollars.0 / 1000)
    }

    fn volumes(&self, gib: i32) -> u64 {
        self.volume_gib_month.unwrap_or(VOLUME).0 * u64::try_from(gib).unwrap_or(0)
    }

    fn hour(&self, instance_type: &str) -> Option<Dollars> {
        if let Some(said) = self.hour.get(instance_type) {
            return Some(*said);
        }
        let (family, size) = instance_type.split_once('.')?;
        let (_, large) = LARGE.iter().find(|(known, _)| *known == family)?;
        let sixteenths = match size {
            "nano" => 1,
            "micro" => 2,
            "small" => 4,
            "medium" => 8,
            "large" => 16,
            "xlarge" => 32,
            size => 32 * size.strip_suffix("xlarge")?.parse::<u64>().ok().filter(|times| *times <= 64)?,
        };
        Some(Dollars(large * sixteenths / 16))
    }
}

fn cents(millionths: u64) -> u64 {
    (millionths + CENT / 2) / CENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_counts_before_the_list_and_what_nobody_knows_is_not_guessed() {
        let list = Prices::default();
        assert_eq!(list.server("t3.small", true, 0), Some(1518));
        assert_eq!(list.server("m6i.4xlarge", true, 10), Some(56_144));
        assert_eq!(list.server("t3.small", false, 8), Some(64), "a stopped one costs its disks");
        assert_eq!(list.server("u7i-12tb.224xlarge", true, 0), None);
        assert_eq!((list.volume(100), list.snapshot(100)), (800, 500));
        let said: Prices = toml::from_str("hour.\"t3.small\" = 1\nvolume_gib_month = 0.0952").unwrap();
        assert_eq!((said.server("t3.small", true, 0), said.volume(100)), (Some(73_000), 952));
        assert_eq!((list.fast_restore(2), list.fast_restore(0)), (150, 0));
        let said: Prices = toml::from_str("volume_initialization_gib = 0.36").unwrap();
        assert_eq!((said.reading_gib_millis(), list.reading_gib_millis()), (Some(360), None));
        assert!(toml::from_str::<Prices>("volume_gib_month = -1").is_err());
    }
}
