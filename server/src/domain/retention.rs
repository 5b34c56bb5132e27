//! Which snapshots are no longer asked for.

use app::api::{SnapshotReason, SnapshotState};

/// Of those that Bookend took by itself, so many stay for each environment.
pub const NEWEST: usize = 5;
/// A deleted environment can be brought back for so long, in milliseconds.
pub const UNDELETE_MS: i64 = 14 * 24 * 60 * 60 * 1000;

/// What decides about one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub id: String,
    pub reason: SnapshotReason,
    pub state: SnapshotState,
    /// Something is being made from it, or it is all that is left of a deleted environment.
    pub needed: bool,
    pub pinned: bool,
}

/// Of one environment's snapshots, the newest first, those that go. What a person asked for goes only when a person asks
/// for that; the newest that can be restored always stays.
pub fn expendable(newest_first: &[Kept]) -> Vec<String> {
    let by_itself = newest_first.iter().filter(|one| {
        one.reason != SnapshotReason::Demand && one.state == SnapshotState::Complete && !one.pinned && !one.needed
    });
    by_itself.skip(NEWEST).map(|one| one.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(id: usize, reason: SnapshotReason) -> Kept {
        Kept { id: id.to_string(), reason, state: SnapshotState::Complete, needed: false, pinned: false }
    }

    #[test]
    fn the_newest_five_taken_by_itself_stay_and_so_does_what_a_person_wants_or_something_needs() {
        let mut all: Vec<Kept> = (0..10).map(|id| kept(id, SnapshotReason::Park)).collect();
        all[7].reason = SnapshotReason::Demand;
        all[8].pinned = true;
        all[9].needed = true;
        assert_eq!(expendable(&all), ["5", "6"]);
        all[0].state = SnapshotState::Failed;
        assert_eq!(expendable(&all), ["6"], "one that cannot be restored takes no other's place");
        assert!(expendable(&all[..5]).is_empty());
    }
}
