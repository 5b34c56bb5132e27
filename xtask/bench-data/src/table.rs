//! What was measured, and which aims it meets.

use std::fmt;
use std::time::Duration;

use crate::meter::Taken;

#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
    said: Vec<String>,
}

struct Row {
    who: String,
    what: String,
    taken: Taken,
    stored: Option<u64>,
}

impl Table {
    pub fn add(&mut self, who: &str, what: &str, taken: Taken, stored: Option<u64>) {
        self.rows.push(Row { who: who.into(), what: what.into(), taken, stored });
    }

    /// What could not be measured.
    pub fn say(&mut self, words: String) {
        self.said.push(words);
    }

    fn find(&self, who: &str, what: &str) -> Option<Taken> {
        self.rows.iter().find(|row| row.who == who && row.what == what).map(|row| row.taken)
    }

    fn aims(&self) -> Vec<(String, Option<bool>)> {
        let within = |taken: Option<Taken>, most: u64| taken.map(|taken| taken.wall <= Duration::from_millis(most));
        let mut aims = Vec::new();
        for disk in ["btrfs", "xfs"] {
            let name = |what: &str| format!("bookend, {disk}: {what}");
            let ours = format!("bookend, {disk}");
            aims.push((name("snapshot within 25 ms"), within(self.find(&ours, "snapshot"), 25)));
            aims.push((name("unchanged snapshot within 100 ms"), within(self.find(&ours, "snapshot, unchanged"), 100)));
            aims.push((name("restore within 50 ms"), within(self.find(&ours, "restore"), 50)));
        }
        let ratio = |ours: Option<Taken>, theirs: Option<Taken>, of: fn(&Taken) -> Duration| {
            let (ours, theirs) = (of(&ours?), of(&theirs?));
            (!theirs.is_zero()).then(|| ours.as_secs_f64() / theirs.as_secs_f64())
        };
        let exported = ratio(self.find("bookend", "export"), self.find("restic", "backup"), |taken| taken.cpu);
        aims.push((said("export at most half of restic's CPU seconds", exported), exported.map(|ratio| ratio <= 0.5)));
        let plain = self.rows.iter().find(|row| row.who.ends_with("(copies)")).map(|row| row.who.clone());
        let ours = plain.and_then(|who| self.find(&who, "snapshot"));
        let copied = ratio(ours, self.find("cp -a", "copy"), |taken| taken.wall);
        aims.push((said("copied snapshot within 1.2 times cp -a", copied), copied.map(|ratio| ratio <= 1.2)));
        aims
    }
}

fn said(aim: &str, ratio: Option<f64>) -> String {
    ratio.map_or_else(|| aim.to_owned(), |ratio| format!("{aim} ({ratio:.2})"))
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<28} {:<24} {:>10} {:>10} {:>12}", "", "", "wall", "CPU", "stored")?;
        for row in &self.rows {
            let stored = row.stored.map(|bytes| format!("{:.1} MB", bytes as f64 / 1e6)).unwrap_or_default();
            let (wall, cpu) = (row.taken.wall.as_secs_f64(), row.taken.cpu.as_secs_f64());
            writeln!(f, "{:<28} {:<24} {wall:>8.3} s {cpu:>8.2} s {stored:>12}", row.who, row.what)?;
        }
        writeln!(f)?;
        for said in &self.said {
            writeln!(f, "{said}")?;
        }
        for (aim, met) in self.aims() {
            let met = match met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "not measured",
            };
            writeln!(f, "{met:<13} {aim}")?;
        }
        Ok(())
    }
}
