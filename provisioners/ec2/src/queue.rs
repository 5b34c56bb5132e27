//! Who takes snapshots next. Amazon lets an account take so many a second, and servers stand still while theirs are taken: all
//! calls of one set are paid for before. People come before schedules, then whoever came first; nobody waits in here, they are told
//! when to ask again. What is taken for itself, as for a volume on its way to another zone, has its turn like a set: with hundreds
//! of them there would never be enough for several at once. Who comes later than told, as where thousands wait for a few workers,
//! keeps the place and is passed: what Amazon lets us take is taken by whoever is there.
//!
//! Nothing of it lasts: a portal that comes after begins with nobody waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use provisioners::{EnvironmentId, SnapshotId};
use tokio::time::Instant;

use super::buckets::{Bucket, Buckets, Paid, in_a_second};

const CALL: Bucket = Bucket::Call("CreateSnapshot");
/// Between questions, seconds: things may have moved faster than expected, or slower.
const SOONEST: f64 = 0.5;
const LATEST: f64 = 120.0;
/// Later than told by so much it is passed.
const PASSED: Duration = Duration::from_secs(10);
/// Who has not asked for so long wants it no more.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// How long what is paid for is kept: whoever was told so is about to do it.
const KEPT: Duration = Duration::from_secs(60);

/// The snapshots of one environment's volumes at one moment.
pub type Set = (EnvironmentId, SnapshotId);

#[derive(Debug)]
struct Waiting {
    set: Set,
    calls: u32,
    by_schedule: bool,
    /// When it was told to ask again.
    asks_at: Instant,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of their turns.
    waiting: Vec<Waiting>,
    /// What was paid for and not fetched, until when it is kept.
    paid: BTreeMap<Set, (Paid, Instant)>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Queue {
    /// Which others take from, too.
    pub buckets: Arc<Buckets>,
    state: Mutex<State>,
}

impl Queue {
    /// Whether it is this set's turn, which takes so many calls.
    ///
    /// # Errors
    /// When to ask again.
    pub fn admit(&self, set: &Set, calls: u32, by_schedule: bool) -> Result<(), Duration> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget(&self.buckets, now);
        if !state.paid.contains_key(set) {
            let paid = state.turn(&self.buckets, set, calls, by_schedule, now)?;
            state.paid.insert(set.clone(), (paid, now + KEPT));
        }
        Ok(())
    }

    /// As [`admit`](Self::admit), for who calls at once.
    ///
    /// # Errors
    /// When to ask again.
    pub fn take(&self, set: &Set, calls: u32, by_schedule: bool) -> Result<Paid, Duration> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget(&self.buckets, now);
        state.turn(&self.buckets, set, calls, by_schedule, now)
    }

    /// What was paid for this set.
    pub fn fetch(&self, set: &Set) -> Option<Paid> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).paid.remove(set).map(|(paid, _)| paid)
    }
}

impl State {
    /// What it takes, if it is its turn; else when to ask again.
    fn turn(
        &mut self,
        buckets: &Buckets,
        set: &Set,
        calls: u32,
        by_schedule: bool,
        now: Instant,
    ) -> Result<Paid, Duration> {
        let place = self.place(set, calls, by_schedule, now);
        let (there, a_second) = (f64::from(buckets.there_are(CALL)), f64::from(in_a_second(CALL)));
        let mut before = 0;
        let mut enough = true;
        // Who comes before and in time is to find what it needs then; what comes until then nobody loses by.
        for waiting in self.waiting[..place].iter().filter(|waiting| now < waiting.asks_at + PASSED) {
            before += waiting.calls;
            let until = waiting.asks_at.saturating_duration_since(now).as_secs_f64();
            enough &= f64::from(before + calls) <= there + until * a_second;
        }
        let taken = if enough { buckets.take(&[(CALL, calls)]).ok() } else { None };
        if let Some(paid) = taken {
            self.waiting.remove(place);
            return Ok(paid);
        }
        let missing = f64::from(before + calls) - there;
        let wait = Duration::from_secs_f64((missing / a_second).clamp(SOONEST, LATEST));
        self.waiting[place].asks_at = now + wait;
        Err(wait)
    }

    /// Its place among those who wait, from now on if it is new.
    fn place(&mut self, set: &Set, calls: u32, by_schedule: bool, now: Instant) -> usize {
        if let Some(place) = self.waiting.iter().position(|waiting| waiting.set == *set) {
            if self.waiting[place].by_schedule == by_schedule {
                return place;
            }
            // Somebody waits for it now, or nobody any more.
            self.waiting.remove(place);
        }
        let place = self.waiting.partition_point(|waiting| waiting.by_schedule <= by_schedule);
        self.waiting.insert(place, Waiting { set: set.clone(), calls, by_schedule, asks_at: now });
        place
    }

    fn forget(&mut self, buckets: &Buckets, now: Instant) {
        self.waiting.retain(|waiting| now < waiting.asks_at + FORGOTTEN);
        let paid = std::mem::take(&mut self.paid);
        for (set, (paid, until)) in paid {
            if until > now {
                self.paid.insert(set, (paid, until));
            } else {
                buckets.give_back(paid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str) -> Set {
        (EnvironmentId::new(name), SnapshotId::new("evening"))
    }

    #[tokio::test(start_paused = true)]
    async fn people_come_before_schedules_and_then_whoever_came_first() {
        let queue = Queue::default();
        let admit = |name: &str, by_schedule| queue.admit(&set(name), 50, by_schedule);
        assert_eq!((admit("first", true), admit("second", true)), (Ok(()), Ok(())), "a full bucket is enough for two");
        let third = admit("third", true).expect_err("nothing is left");
        let fourth = admit("fourth", true).expect_err("nothing is left");
        let person = admit("person", false).expect_err("nothing is left");
        assert!(person == third && fourth > third, "{person:?}, {third:?}, {fourth:?}");
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert!(admit("third", true).is_err() && admit("fourth", true).is_err(), "it is somebody else's turn");
        assert_eq!(admit("person", false), Ok(()));
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert!(admit("fourth", true).is_err());
        assert_eq!(admit("third", true), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_come_keeps_nobody_waiting_and_what_was_paid_for_is_given_back() {
        let queue = Queue::default();
        let admit = |name: &str, calls| queue.admit(&set(name), calls, true);
        assert_eq!(admit("paid", 100), Ok(()));
        assert!(admit("gone", 100).is_err());
        assert!(admit("patient", 100).is_err());
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(admit("patient", 100).is_err(), "the one before may still come");
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(admit("patient", 100), Ok(()));
        assert!(queue.fetch(&set("patient")).is_some());
        assert!(queue.fetch(&set("paid")).is_none());
    }

    /// A morning on which a zone is full: volume after volume moves by a snapshot of its own, for which the driver asks the moment it may.
    #[tokio::test(start_paused = true)]
    async fn volumes_that_move_one_by_one_keep_no_set_of_several_from_its_turn() {
        const MOVES: usize = 600;
        let queue = Queue::default();
        let begun = Instant::now();
        let mut due: std::collections::VecDeque<(Instant, String)> =
            (0..MOVES).map(|number| (begun, format!("move-{number:03}"))).collect();
        // Some of the moves are before them, and as many come after.
        due.insert(MOVES / 2, (begun, "set-of-a-schedule".to_owned()));
        due.insert(MOVES / 2, (begun, "set-of-a-person".to_owned()));
        let mut moved = 0;
        let mut when = BTreeMap::new();
        while let Some((at, name)) = due.pop_front() {
            tokio::time::sleep_until(at).await;
            let by_schedule = name != "set-of-a-person";
            let asked = match name.starts_with("move") {
                true => queue.take(&set(&name), 1, by_schedule).map(|_| moved += 1),
                false => queue.admit(&set(&name), 2, by_schedule).map(|()| {
                    when.insert(name.clone(), moved);
                }),
            };
            if let Err(wait) = asked {
                due.push_back((Instant::now() + wait, name));
                due.make_contiguous().sort_by_key(|(at, _)| *at);
            }
        }
        assert_eq!(moved, MOVES);
        assert!(when["set-of-a-person"] < 110, "after those that a full bucket was enough for: {when:?}");
        assert!(when["set-of-a-schedule"] < MOVES / 2 + 30, "after those that came before it: {when:?}");
    }

    /// An evening: all are parked at the same minute, and there are so few workers that each comes round much later than told.
    #[tokio::test(start_paused = true)]
    async fn thousands_who_come_late_lose_neither_their_place_nor_what_amazon_lets_them_take() {
        const SETS: usize = 1000;
        let queue = Queue::default();
        let begun = Instant::now();
        let mut due: std::collections::VecDeque<(Instant, usize)> = (0..SETS).map(|number| (begun, number)).collect();
        let mut admitted = Vec::new();
        while let Some((_, number)) = due.pop_front() {
            match queue.admit(&set(&format!("env-{number}")), 2, true) {
                Ok(()) => admitted.push(number),
                Err(wait) => due.push_back((Instant::now() + wait, number)),
            }
            // Six come in a second, whoever has been due for longest first.
            tokio::time::sleep(Duration::from_secs_f64(1.0 / 6.0)).await;
            due.make_contiguous().sort();
            if let Some((next, _)) = due.front() {
                tokio::time::sleep_until(*next).await;
            }
        }
        let ideal = f64::from(u32::try_from(2 * SETS - 100).unwrap_or(0)) / f64::from(in_a_second(CALL));
        let took = begun.elapsed().as_secs_f64();
        assert!(took < 1.25 * ideal, "{took} s, at best {ideal} s");
        assert_eq!(admitted.len(), SETS);
    }
}
