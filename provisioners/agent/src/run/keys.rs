//! By what the agent proves who it is: the session key of its own making, kept for one server, one generation and one machine.
//!
//! A disk may turn up in another machine: an image made from it, a copy, a resumed server. What was kept for somebody else is
//! thrown away before anything is said to the portal, so that a copy never speaks for its original. Whoever may read the disk
//! can still take the key out of it: such a person has been the server.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::apply::private_directory;
use crate::link::{Identity, write_private};

/// Whose the agent's files are.
const OWNER: &str = "owner";
const KEY: &str = "session-key";

/// For whom a session key was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner(String);

impl Owner {
    pub(super) fn of(identity: &Identity) -> Self {
        Self::at(identity, &machine(Path::new("/")))
    }

    fn at(identity: &Identity, machine: &str) -> Self {
        Self(format!("{}\n{}\n{machine}\n", identity.server, identity.generation))
    }
}

/// What tells this machine from a copy of its disk, as its firmware says: on EC2 the instance's id, elsewhere the machine's
/// UUID. Empty where neither is shown, as in a sandbox.
fn machine(root: &Path) -> String {
    let said = |name: &str| {
        let text = std::fs::read_to_string(root.join("sys/class/dmi/id").join(name)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    said("board_asset_tag").filter(|tag| tag.starts_with("i-")).or_else(|| said("product_uuid")).unwrap_or_default()
}

/// The key of an earlier run of the same server, or a new one: kept before it is first used, so that a lost answer is no harm.
/// With a new one everything else that was kept for another server is removed.
pub(super) fn session_key(state: &Path, owner: &Owner) -> std::io::Result<String> {
    let path = state.join(KEY);
    let read = |path: PathBuf| match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    if read(state.join(OWNER))?.as_ref() == Some(&owner.0) {
        if let Some(known) = read(path.clone())? {
            return Ok(known);
        }
    } else if state.exists() {
        // Key first: whatever interrupts this, the rest is never found beside the key of another.
        for place in [&path, state] {
            match if place == state { std::fs::remove_dir_all(place) } else { std::fs::remove_file(place) } {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    private_directory(state)?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    let key = URL_SAFE_NO_PAD.encode(bytes);
    write_private(&path, key.as_bytes())?;
    write_private(&state.join(OWNER), owner.0.as_bytes())?;
    Ok(key)
}

/// The token has done its work. Where the file cannot be written it is of no more use either.
pub(super) fn forget_enrolment(directory: &Path) {
    if let Ok(mut identity) = Identity::read(directory)
        && identity.enrolment.take().is_some()
    {
        identity.write(directory).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(server: &str, generation: i64, machine: &str) -> Owner {
        Owner::at(&Identity::of(server, generation), machine)
    }

    #[test]
    fn a_key_survives_every_boot_of_its_server_and_no_copy_of_its_disk() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let own = owner("a", 1, "i-1");
        let key = session_key(&state, &own).unwrap();
        assert_eq!(session_key(&state, &own).unwrap(), key, "the machine booted again");
        std::fs::write(state.join("setup-done"), "").unwrap();
        let mut keys = vec![key];
        for (who, owner) in [
            ("another machine", owner("a", 1, "i-2")),
            ("the next generation", owner("a", 2, "i-2")),
            ("another server", owner("b", 2, "i-2")),
        ] {
            let other = session_key(&state, &owner).unwrap();
            assert!(!keys.contains(&other), "{who} has the key of its original");
            assert!(!state.join("setup-done").exists(), "{who} takes itself for set up");
            assert_eq!(session_key(&state, &owner).unwrap(), other);
            std::fs::write(state.join("setup-done"), "").unwrap();
            keys.push(other);
        }
        let back = session_key(&state, &own).unwrap();
        assert!(!keys.contains(&back), "what was thrown away does not come back");
    }

    #[test]
    fn a_key_that_was_written_without_its_owner_is_nobodys() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(KEY), "key of another time").unwrap();
        let key = session_key(directory.path(), &owner("a", 1, "")).unwrap();
        assert_ne!(key, "key of another time");
    }

    #[test]
    fn a_machine_is_known_by_its_instance_and_else_by_its_firmware() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(machine(root.path()), "");
        let dmi = root.path().join("sys/class/dmi/id");
        std::fs::create_dir_all(&dmi).unwrap();
        std::fs::write(dmi.join("product_uuid"), "ec2a1b2c-0000\n").unwrap();
        assert_eq!(machine(root.path()), "ec2a1b2c-0000");
        std::fs::write(dmi.join("board_asset_tag"), "Default string\n").unwrap();
        assert_eq!(machine(root.path()), "ec2a1b2c-0000");
        std::fs::write(dmi.join("board_asset_tag"), "i-0abc\n").unwrap();
        assert_eq!(machine(root.path()), "i-0abc");
    }
}
