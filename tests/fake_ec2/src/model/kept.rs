//! Things that remember what they were, and states that are functions of time.
//!
//! A describe may see a resource as it was minutes ago. So a resource keeps its versions for as long as somebody may look
//! back, and a state is a course: moments at which it becomes something, written down when that is decided. Nothing runs in
//! the background.

/// A resource and its past versions.
#[derive(Clone, Debug)]
pub struct Kept<T> {
    born_ms: i64,
    /// In the order of time; never empty.
    versions: Vec<(i64, T)>,
}

impl<T: Clone> Kept<T> {
    pub fn new(at_ms: i64, first: T) -> Self {
        Self { born_ms: at_ms, versions: vec![(at_ms, first)] }
    }

    pub fn born_ms(&self) -> i64 {
        self.born_ms
    }

    pub fn now(&self) -> &T {
        &self.versions[self.versions.len() - 1].1
    }

    /// As it was at a moment; `None` before it was made.
    pub fn at(&self, moment_ms: i64) -> Option<&T> {
        self.versions.iter().rev().find(|(at, _)| *at <= moment_ms).map(|(_, version)| version)
    }

    /// Changes it; `reach_ms` is how far back anybody looks.
    pub fn change(&mut self, now_ms: i64, reach_ms: i64, change: impl FnOnce(&mut T)) {
        let last = self.versions.len() - 1;
        if reach_ms <= 0 {
            change(&mut self.versions[last].1);
            return;
        }
        let mut next = self.versions[last].1.clone();
        change(&mut next);
        self.versions.push((now_ms, next));
        let seen = self.versions.iter().rposition(|(at, _)| *at <= now_ms - reach_ms).unwrap_or(0);
        self.versions.drain(..seen);
    }
}

/// What something is and will be: each state with the moment it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course<S>(Vec<(i64, S)>);

impl<S: Copy + PartialEq> Course<S> {
    pub fn new(steps: &[(i64, S)]) -> Self {
        Self(steps.to_vec())
    }

    pub fn at(&self, moment_ms: i64) -> S {
        let found = self.0.iter().rev().find(|(at, _)| *at <= moment_ms);
        found.unwrap_or(&self.0[0]).1
    }

    /// Forgets what was to come after `now_ms` and takes another course.
    pub fn turn(&mut self, now_ms: i64, steps: &[(i64, S)]) {
        self.0.retain(|(at, _)| *at <= now_ms);
        self.0.extend_from_slice(steps);
    }

    /// When it last became, or will become, a state.
    pub fn when(&self, state: S) -> Option<i64> {
        self.0.iter().rev().find(|(_, step)| *step == state).map(|(at, _)| *at)
    }

    /// The state it will have when nothing else is asked.
    pub fn end(&self) -> S {
        self.0[self.0.len() - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_seen_as_it_was_then() {
        let mut kept = Kept::new(100, "a");
        kept.change(200, 1000, |value| *value = "b");
        assert_eq!((kept.at(99), kept.at(150), kept.at(200)), (None, Some(&"a"), Some(&"b")));
        kept.change(5000, 1000, |value| *value = "c");
        assert_eq!((kept.at(4500), kept.at(150), *kept.now()), (Some(&"b"), None, "c"));
    }

    #[test]
    fn a_turn_forgets_only_what_was_to_come() {
        let mut course = Course::new(&[(0, 'p'), (10, 'r')]);
        course.turn(5, &[(5, 's'), (8, 't')]);
        assert_eq!((course.at(4), course.at(6), course.at(100), course.end()), ('p', 's', 't', 't'));
        assert_eq!(course.when('r'), None);
    }
}
