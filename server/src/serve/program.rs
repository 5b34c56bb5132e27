//! The agent's program as servers elsewhere fetch it: kept in the data directory by its checksum, so that a server which was
//! told of one is given that one, whatever program the portal was started with since.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use provisioners::AgentProgram;
use sha2::{Digest, Sha256};

use super::StartError;

pub const NAME: &str = "bookend-agent";
/// Programs that are kept, the ones used last.
const KEPT: usize = 16;

/// Keeps this program with those of earlier starts. `now` is Unix time in milliseconds.
///
/// # Errors
/// When it cannot be read, or not be kept.
pub fn keep(program: &Path, folder: &Path, now: i64) -> Result<AgentProgram, StartError> {
    let unreadable = |source| StartError::Agent { path: program.to_owned(), source };
    let content = fs::read(program).map_err(unreadable)?;
    let sha256: String = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = folder.join(&sha256).join(NAME);
    let kept = keep_as(&path, &content, now).and_then(|()| forget_old(folder));
    kept.map_err(|source| StartError::DataDirectory { path: folder.to_owned(), source })?;
    Ok(AgentProgram { path, sha256 })
}

fn keep_as(path: &Path, content: &[u8], now: i64) -> io::Result<()> {
    if fs::read(path).is_ok_and(|known| known == content) {
        return touch(path, now);
    }
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let fresh = path.with_extension(format!("new.{}", std::process::id()));
    fs::write(&fresh, content)?;
    fs::rename(&fresh, path)?;
    touch(path, now)
}

fn touch(path: &Path, now: i64) -> io::Result<()> {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now).unwrap_or_default());
    File::options().write(true).open(path)?.set_modified(at)
}

fn forget_old(folder: &Path) -> io::Result<()> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(folder)? {
        let place = entry?.path();
        let used = fs::metadata(place.join(NAME)).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        kept.push((used, place));
    }
    kept.sort();
    let excess = kept.len().saturating_sub(KEPT);
    kept[..excess].iter().try_for_each(|(_, place)| fs::remove_dir_all(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_its_checksum_until_many_others_were_used_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let (program, folder) = (directory.path().join("given"), directory.path().join("agents"));
        let kept = |content: &str, now: i64| {
            fs::write(&program, content).unwrap();
            keep(&program, &folder, now).unwrap()
        };
        let first = kept("first", 1_000);
        assert_eq!(first.sha256, "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e");
        assert_eq!(fs::read_to_string(&first.path).unwrap(), "first");
        let second = kept("second", 2_000);
        assert!(first.path.exists() && second.path.exists());
        assert_eq!(kept("first", 3_000), first);
        (0..KEPT - 1).for_each(|number| drop(kept(&format!("later {number}"), 4_000)));
        assert!(first.path.exists() && !second.path.exists());
        fs::write(&first.path, "damaged").unwrap();
        assert_eq!(fs::read_to_string(kept("first", 5_000).path).unwrap(), "first");
    }
}
