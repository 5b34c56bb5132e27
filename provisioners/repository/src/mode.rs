//! File modes: POSIX has one numbering of kinds and of the set-user-id bits, restic's format has Go's.
//!
//! Go's bits: <https://pkg.go.dev/io/fs#FileMode>.

const DIRECTORY: u32 = 1 << 31;
const SYMBOLIC_LINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const NAMED_PIPE: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const SET_USER_ID: u32 = 1 << 23;
const SET_GROUP_ID: u32 = 1 << 22;
const CHARACTER_DEVICE: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;

const PERMISSIONS: u32 = 0o777;

/// The three bits above the permissions, POSIX's beside Go's.
const SPECIAL: [(u32, u32); 3] = [(0o4000, SET_USER_ID), (0o2000, SET_GROUP_ID), (0o1000, STICKY)];

/// From `st_mode`, kind and all.
pub(crate) fn to_go(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => DIRECTORY,
        0o120_000 => SYMBOLIC_LINK,
        0o060_000 => DEVICE,
        0o020_000 => DEVICE | CHARACTER_DEVICE,
        0o010_000 => NAMED_PIPE,
        0o140_000 => SOCKET,
        _ => 0,
    };
    SPECIAL.iter().filter(|(posix, _)| mode & posix != 0).fold(kind | (mode & PERMISSIONS), |all, (_, go)| all | go)
}

/// The bits that `chmod` takes. What the file is, its node says by itself.
pub(crate) fn permissions_from_go(mode: u32) -> u32 {
    SPECIAL.iter().filter(|(_, go)| mode & go != 0).fold(mode & PERMISSIONS, |all, (posix, _)| all | posix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_survives_the_way_there_and_back() {
        for mode in 0..=0o7777 {
            assert_eq!(permissions_from_go(to_go(0o100_000 | mode)), mode);
        }
    }

    #[test]
    fn a_folder_with_the_sticky_bit_is_what_go_calls_it() {
        assert_eq!(to_go(0o041_777), (1 << 31) | (1 << 20) | 0o777);
    }
}
