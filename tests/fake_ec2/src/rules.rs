//! How this Amazon behaves: what tests, the bench and the program choose before it starts.

use crate::faults::Faults;
use crate::seed::between;

#[derive(Clone, Debug)]
pub struct Rules {
    pub seed: u64,
    /// What the clock shows when the fake begins, in Unix milliseconds.
    pub start_ms: i64,
    pub accounts: Vec<Account>,
    /// The region of requests that are not signed for another one.
    pub region: String,
    /// Further regions there are.
    pub other_regions: Vec<String>,
    /// Letters: zone `a` of `eu-central-1` is `eu-central-1a`.
    pub zones: Vec<char>,
    /// Families that a zone does not have: `('c', "m7g")`.
    pub missing: Vec<(char, String)>,
    pub delays: Delays,
    pub lag: Lag,
    /// Whether Amazon's published token buckets hold.
    pub buckets: bool,
    /// How much of them others of the account use.
    pub others_percent: i64,
    /// vCPUs of running on-demand instances in one account and region; `None`: no limit.
    pub vcpu_limit: Option<u32>,
    /// Whether each region's network is its default VPC, to which Amazon is kinder, or one that somebody made.
    pub default_vpc: bool,
    /// Whether volumes are encrypted with a key of the account's when none is named, and not with Amazon's own.
    pub own_key: bool,
    /// How long a call takes by itself.
    pub latency: Spread,
    pub faults: Faults,
}

/// Somebody's account. The access key picks it; nothing is checked with a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Twelve digits.
    pub id: String,
    pub access_key: String,
    pub roles: Vec<Role>,
}

/// A role others may assume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    pub name: String,
    /// What has to be presented; `None`: nothing.
    pub external_id: Option<String>,
}

/// How far back describes see. Amazon calls it eventual consistency and promises no bound; minutes have been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// A describe sees each resource as it was up to so many milliseconds ago: some nearly at once, few very late.
    pub describes_ms: i64,
    /// For so long after it was made, a call that changes a resource may not know it.
    pub changes_ms: i64,
    /// Whether what was seen once may not be seen the next time: each call asks another replica.
    pub wavering: bool,
}

/// Milliseconds, from and to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread(pub i64, pub i64);

impl Spread {
    /// What it is for one thing.
    pub fn of(self, seed: u64, what: &str) -> i64 {
        between(seed, what, self.0, self.1)
    }
}

/// How long transitions take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// pending → running, at launch and at start.
    pub pending: Spread,
    pub stopping: Spread,
    pub hibernating: Spread,
    /// How long an instance must have run before it can be hibernated.
    pub hibernation_ready: Spread,
    pub shutting_down: Spread,
    /// terminated → its network interface is gone.
    pub letting_go: Spread,
    /// running → status checks passed.
    pub checks: Spread,
    pub volume_creating: Spread,
    pub attaching: Spread,
    pub detaching: Spread,
    pub snapshot: Spread,
    /// For each GiB that changed since the volume's last snapshot.
    pub snapshot_per_gib: Spread,
    pub fast_restore: Spread,
    /// Of a volume's data from its snapshot, for each GiB, when no rate was asked for.
    pub reading_per_gib: Spread,
}

impl Rules {
    /// No lag, no faults, no buckets, no delays: for stories about what happens, not about when.
    pub fn calm() -> Self {
        Self {
            seed: 1,
            start_ms: 1_790_000_000_000,
            accounts: vec![Account::of("111122223333", "AKIAFAKEOURS"), Account::of("444455556666", "AKIAFAKETHEIRS")],
            region: "eu-central-1".to_owned(),
            other_regions: vec!["eu-west-1".to_owned(), "us-east-1".to_owned()],
            zones: vec!['a', 'b', 'c'],
            missing: vec![('c', "m7g".to_owned()), ('c', "c7g".to_owned())],
            delays: Delays::default(),
            lag: Lag::default(),
            buckets: false,
            others_percent: 0,
            vcpu_limit: None,
            default_vpc: true,
            own_key: false,
            latency: Spread(0, 0),
            faults: Faults::default(),
        }
    }

    /// As it is in real life: delays, buckets, describes that see the past. No faults: those a test gives.
    pub fn lifelike(seed: u64) -> Self {
        Self {
            seed,
            delays: Delays::lifelike(),
            lag: Lag { describes_ms: 300_000, changes_ms: 10_000, wavering: true },
            buckets: true,
            latency: Spread(40, 400),
            ..Self::calm()
        }
    }

    /// The names of a region's zones.
    pub fn zones_of(&self, region: &str) -> Vec<String> {
        self.zones.iter().map(|letter| format!("{region}{letter}")).collect()
    }

    pub fn knows_region(&self, region: &str) -> bool {
        self.region == region || self.other_regions.iter().any(|other| other == region)
    }

    /// Whether a zone has a type.
    pub fn offers(&self, zone: &str, instance_type: &str) -> bool {
        let family = instance_type.split('.').next().unwrap_or_default();
        !self.missing.iter().any(|(letter, absent)| zone.ends_with(*letter) && absent == family)
    }
}

impl Account {
    /// With the role `bookend` that asks for the external id `bookend-ACCOUNT`.
    pub fn of(id: &str, access_key: &str) -> Self {
        let role = Role { name: "bookend".to_owned(), external_id: Some(format!("bookend-{id}")) };
        Self { id: id.to_owned(), access_key: access_key.to_owned(), roles: vec![role] }
    }
}

impl Delays {
    /// What Amazon takes, roughly, seen from outside.
    pub fn lifelike() -> Self {
        let seconds = |from: i64, to: i64| Spread(from * 1000, to * 1000);
        Self {
            pending: seconds(5, 20),
            stopping: seconds(15, 60),
            hibernating: seconds(40, 120),
            hibernation_ready: seconds(120, 120),
            shutting_down: seconds(20, 60),
            letting_go: seconds(0, 20),
            checks: seconds(60, 180),
            volume_creating: seconds(1, 5),
            attaching: seconds(1, 4),
            detaching: seconds(2, 8),
            snapshot: seconds(15, 45),
            snapshot_per_gib: seconds(2, 5),
            fast_restore: seconds(1800, 3600),
            reading_per_gib: seconds(20, 120),
        }
    }
}

impl Lag {
    /// How far back a describe looks at a resource. Three of four are seen within a few seconds, the last few at the bound.
    pub fn of_describe(self, seed: u64, id: &str, now_ms: i64) -> i64 {
        if self.describes_ms <= 0 {
            return 0;
        }
        let replica = if self.wavering { now_ms / 2_000 } else { 0 };
        let share = between(seed, &format!("lag {id} {replica}"), 0, 1000);
        // The fourth power: half of all are below a sixteenth of the bound.
        let quarter = share * share / 1000;
        self.describes_ms * (quarter * quarter / 1000) / 1000
    }

    /// How long after it was made a resource is unknown to calls that change it.
    pub fn of_change(self, seed: u64, id: &str) -> i64 {
        between(seed, &format!("change lag {id}"), 0, self.changes_ms.max(0))
    }
}
