//! What scripts and services wrote: kept on the server's disk in a bounded ring of segments, read by position.
//!
//! A segment is a file of newline-delimited JSON [`LogLine`]s named after its first sequence number. The oldest goes when
//! there are too many. Sequence numbers go on where they stood after the agent was restarted, so the portal can always ask
//! for what came after the last line it has stored.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::api::LogLine;
use tokio::sync::{Notify, watch};

use super::mask::Masker;

/// Bytes after which a segment is closed, and how many segments are kept: 8 MiB in all.
const SEGMENT_BYTES: u64 = 1024 * 1024;
const SEGMENTS: usize = 8;

/// Longest text of one line, in bytes; the rest is cut.
pub(super) const MAX_TEXT: usize = 16 * 1024;

/// Bytes a reader gets at once.
const READ_BYTES: u64 = 64 * 1024;

/// Lines a second that are kept; of a flood the rest is counted and dropped.
const LINES_PER_SECOND: u64 = 20_000;

/// Lines of each source kept at hand for failures, and the longest of them, in bytes.
const TAIL_LINES: usize = 20;
const TAIL_TEXT: usize = 1024;

pub(super) struct Logs {
    directory: PathBuf,
    ring: Mutex<Ring>,
    latest: watch::Sender<u64>,
    /// Lines were lost and nobody has been told yet.
    lossy: Notify,
}

struct Ring {
    masker: Masker,
    next: u64,
    /// First sequence number of each segment, oldest first; the last one is written to.
    segments: VecDeque<u64>,
    file: File,
    size: u64,
    /// Source → its last lines with their numbers.
    tails: HashMap<String, VecDeque<(u64, String)>>,
    /// The present second, lines written in it, and lines dropped since that was last said.
    second: i64,
    written: u64,
    dropped: u64,
}

impl Logs {
    /// Goes on with the log kept in `directory`.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut segments: Vec<u64> =
            fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        segments.sort_unstable();
        let last = match segments.last() {
            Some(&first) => last_whole_line(&segment_path(directory, first))?.unwrap_or(first - 1),
            None => 0,
        };
        // Always a new segment: the last one may end in half a line.
        let next = last + 1;
        let path = segment_path(directory, next);
        let file = File::create(&path)?;
        segments.retain(|&first| first != next);
        segments.push(next);
        let ring = Ring {
            masker: Masker::default(),
            next,
            segments: segments.into(),
            file,
            size: 0,
            tails: HashMap::new(),
            second: 0,
            written: 0,
            dropped: 0,
        };
        Ok(Self {
            directory: directory.to_owned(),
            ring: Mutex::new(ring),
            latest: watch::Sender::new(last),
            lossy: Notify::new(),
        })
    }

    /// From now on these values are masked in every line.
    pub(super) fn set_masked(&self, secrets: &[String]) {
        self.ring().masker = Masker::new(secrets);
    }

    /// Appends lines of one source. A full disk or a flood loses lines, never the service that wrote them; how many were
    /// lost is written as soon as it can be.
    pub(super) fn append(&self, source: &str, texts: impl IntoIterator<Item = String>) {
        let at_ms = now_ms();
        let mut ring = self.ring();
        if at_ms / 1000 != ring.second {
            ring.second = at_ms / 1000;
            ring.written = 0;
        }
        let mut bytes = Vec::new();
        let (mut kept, mut lost) = (0, 0);
        for text in texts {
            if ring.written >= LINES_PER_SECOND {
                ring.dropped += 1;
                continue;
            }
            lost += ring.push_losses(&mut bytes, at_ms);
            let text = ring.masker.mask(text);
            kept += ring.push(&mut bytes, at_ms, source, text);
        }
        if ring.written < LINES_PER_SECOND {
            lost += ring.push_losses(&mut bytes, at_ms);
        }
        if ring.file.write_all(&bytes).is_ok() {
            ring.size += bytes.len() as u64;
        } else {
            ring.dropped += kept + lost;
        }
        if ring.dropped > 0 {
            self.lossy.notify_one();
        }
        if ring.size >= SEGMENT_BYTES {
            self.roll(&mut ring);
        }
        self.latest.send_replace(ring.next - 1);
    }

    /// For ever: says how many lines were lost when no other line comes that would say it.
    pub(super) async fn tell_losses(&self) {
        loop {
            self.lossy.notified().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.append("agent", []);
        }
    }

    /// A text that leaves the server by another way than the log.
    pub(super) fn mask(&self, text: String) -> String {
        self.ring().masker.mask(text)
    }

    /// One line of the agent's own.
    pub(super) fn say(&self, text: &str) {
        self.append("agent", [text.to_owned()]);
    }

    /// Tells when the last sequence number has moved.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// A reader of the lines after `seq`, from the oldest kept one at the earliest.
    pub(super) fn reader(&self, after: u64) -> Reader {
        Reader { after, place: None }
    }

    /// The last lines of these sources together, masked, oldest first; at most 20 of each.
    pub(super) fn tail(&self, sources: &[&str], count: usize) -> Vec<String> {
        let ring = self.ring();
        let mut lines: Vec<_> = sources.iter().filter_map(|source| ring.tails.get(*source)).flatten().collect();
        lines.sort_unstable_by_key(|(seq, _)| *seq);
        lines.iter().skip(lines.len().saturating_sub(count)).map(|(_, text)| text.clone()).collect()
    }

    fn roll(&self, ring: &mut Ring) {
        let next = ring.next;
        // Without a new file the old one grows on: better too large than silent.
        let Ok(file) = File::create(segment_path(&self.directory, next)) else { return };
        ring.file = file;
        ring.size = 0;
        ring.segments.push_back(next);
        while ring.segments.len() > SEGMENTS {
            if let Some(oldest) = ring.segments.pop_front() {
                let _ = fs::remove_file(segment_path(&self.directory, oldest));
            }
        }
    }

    /// A panic while holding the lock leaves at worst half a line, which readers pass over.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// Adds the line that says how many were lost, if any were; gives back that number.
    fn push_losses(&mut self, bytes: &mut Vec<u8>, at_ms: i64) -> u64 {
        let lost = std::mem::take(&mut self.dropped);
        if lost > 0 {
            let text = format!("{lost} log lines were lost: too many at once, or the disk is full");
            self.push(bytes, at_ms, "agent", text);
        }
        lost
    }

    /// Adds one line to what will be written; says how many it added.
    fn push(&mut self, bytes: &mut Vec<u8>, at_ms: i64, source: &str, mut text: String) -> u64 {
        if text.len() > MAX_TEXT {
            text.truncate(text.floor_char_boundary(MAX_TEXT - '…'.len_utf8()));
            text.push('…');
        }
        let line = LogLine { seq: self.next, at_ms, source: source.to_owned(), text };
        if serde_json::to_writer(&mut *bytes, &line).is_err() {
            return 0;
        }
        bytes.push(b'\n');
        self.next += 1;
        self.written += 1;
        let tail = self.tails.entry(line.source).or_default();
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        text = line.text;
        text.truncate(text.floor_char_boundary(TAIL_TEXT));
        tail.push_back((line.seq, text));
        1
    }
}

/// Where one reader stands.
pub(super) struct Reader {
    after: u64,
    /// Segment and byte offset of the next unread line.
    place: Option<(u64, u64)>,
}

impl Reader {
    /// The next whole lines as newline-delimited JSON, [`READ_BYTES`] at most; empty when there is nothing new.
    pub(super) fn read(&mut self, logs: &Logs) -> io::Result<Vec<u8>> {
        loop {
            let segments: Vec<u64> = logs.ring().segments.iter().copied().collect();
            let (segment, offset) = match self.place {
                Some(place) if segments.contains(&place.0) => place,
                _ => (
                    segments
                        .iter()
                        .copied()
                        .rfind(|&first| first <= self.after + 1)
                        .or(segments.first().copied())
                        .unwrap_or(1),
                    0,
                ),
            };
            let mut file = File::open(segment_path(&logs.directory, segment))?;
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(READ_BYTES).read_to_end(&mut bytes)?;
            let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            bytes.truncate(whole);
            self.place = Some((segment, offset + whole as u64));
            if whole == 0 {
                match segments.iter().copied().find(|&first| first > segment) {
                    Some(next) => self.place = Some((next, 0)),
                    None => return Ok(bytes),
                }
                continue;
            }
            let fresh = self.pass_over(bytes);
            if !fresh.is_empty() {
                return Ok(fresh);
            }
        }
    }

    /// Drops the lines the caller already has.
    fn pass_over(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let mut start = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            match serde_json::from_slice::<LogLine>(line) {
                Ok(line) if line.seq > self.after => break,
                _ => start += line.len(),
            }
        }
        let fresh = bytes[start..].to_vec();
        if let Some(line) = fresh.split(|&byte| byte == b'\n').rfind(|line| !line.is_empty())
            && let Ok(line) = serde_json::from_slice::<LogLine>(line)
        {
            self.after = line.seq;
        }
        fresh
    }
}

fn segment_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}"))
}

fn last_whole_line(path: &Path) -> io::Result<Option<u64>> {
    let mut last = None;
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        if let Ok(line) = serde_json::from_slice::<LogLine>(&line?) {
            last = Some(line.seq);
        }
    }
    Ok(last)
}

/// Unix time in milliseconds: the agent's edge to the clock.
pub(super) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(bytes: &[u8]) -> Vec<u64> {
        let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice::<LogLine>(line).unwrap().seq).collect()
    }

    #[test]
    fn a_reader_gets_every_line_once_and_goes_on_after_the_agent_was_restarted() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs::open(directory.path()).unwrap();
        logs.append("api", ["one".to_owned(), "two".to_owned()]);
        let mut reader = logs.reader(0);
        assert_eq!(sequence(&reader.read(&logs).unwrap()), [1, 2]);
        assert!(reader.read(&logs).unwrap().is_empty());
        logs.append("api", ["three".to_owned()]);
        assert_eq!(sequence(&reader.read(&logs).unwrap()), [3]);
        drop(logs);
        // The agent died in the middle of a line.
        let torn = segment_path(directory.path(), 1);
        fs::OpenOptions::new().append(true).open(torn).unwrap().write_all(b"{\"seq\":4,\"at").unwrap();
        let logs = Logs::open(directory.path()).unwrap();
        logs.append("api", ["four".to_owned()]);
        assert_eq!(sequence(&logs.reader(2).read(&logs).unwrap()), [3]);
        let mut reader = logs.reader(3);
        assert_eq!(sequence(&reader.read(&logs).unwrap()), [4]);
    }

    #[test]
    fn the_log_stays_within_its_bound_and_old_lines_go_first() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs::open(directory.path()).unwrap();
        let line = "x".repeat(1000);
        for _ in 0..12_000 {
            logs.append("noisy", [line.clone()]);
        }
        let kept: u64 =
            fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(kept <= (SEGMENTS as u64 + 1) * SEGMENT_BYTES, "{kept}");
        let mut reader = logs.reader(0);
        let mut all = Vec::new();
        while let bytes = reader.read(&logs).unwrap()
            && !bytes.is_empty()
        {
            all.extend(sequence(&bytes));
        }
        assert_eq!(*all.last().unwrap(), 12_000);
        assert!(all.windows(2).all(|pair| pair[1] == pair[0] + 1), "no gap within what is kept");
        assert!(all.len() < 12_000);
    }
}
