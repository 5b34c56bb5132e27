//! The agent's programs as servers elsewhere fetch them: kept in the data directory by their checksums, so that a server which
//! was told of one is given that one, whatever programs the portal was started with since.
//!
//! There is one for each kind of processor: for those of this machine the one that the portal uses itself, for others
//! `bookend-agent-ARCHITECTURE` (`bookend-agent-arm64`) beside it, where it is there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use provisioners::{AgentProgram, Architecture};
use sha2::{Digest, Sha256};

use super::StartError;

pub const NAME: &str = "bookend-agent";
/// Programs that are kept, the ones used last.
const KEPT: usize = 32;

/// Keeps these programs with those of earlier starts. `now` is Unix time in milliseconds.
///
/// # Errors
/// When one cannot be read, or not be kept.
pub fn keep_all(agent: &Path, folder: &Path, now: i64) -> Result<BTreeMap<Architecture, AgentProgram>, StartError> {
    let own = keep(agent, folder, now)?;
    let mut programs: BTreeMap<_, _> = Architecture::here().map(|here| (here, own)).into_iter().collect();
    for architecture in Architecture::ALL {
        let other = agent.with_file_name(format!("{NAME}-{architecture}"));
        if !programs.contains_key(&architecture) && other.is_file() {
            programs.insert(architecture, keep(&other, folder, now)?);
        }
    }
    Ok(programs)
}

fn keep(program: &Path, folder: &Path, now: i64) -> Result<AgentProgram, StartError> {
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
    #[test]
    fn other_processors_have_a_program_of_their_own_where_it_is_beside() {
        let directory = tempfile::tempdir().unwrap();
        let (agent, folder) = (directory.path().join("any-name"), directory.path().join("agents"));
        let here = Architecture::here().expect("a machine that tests run on");
        let other = Architecture::ALL.into_iter().find(|one| *one != here).unwrap();
        fs::write(&agent, "own").unwrap();
        let alone = keep_all(&agent, &folder, 1_000).unwrap();
        assert_eq!(alone.keys().copied().collect::<Vec<_>>(), [here]);
        fs::write(directory.path().join(format!("bookend-agent-{other}")), "for others").unwrap();
        let both = keep_all(&agent, &folder, 2_000).unwrap();
        assert_eq!(both[&here], alone[&here]);
        assert_eq!(fs::read_to_string(&both[&other].path).unwrap(), "for others");
    }
}
