//! What an import will make, decided before anything is made.
//!
//! A repository may come from anywhere, so nothing in it is believed: a name must be the name of one thing in one folder, a
//! device is never made, and the sizes that are told must be within what the caller allows. Because all paths are made of such
//! names and every folder is new, no path leads through a link.

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustic_core::repofile::{Node, NodeType};
use rustic_core::{IndexedFull, TreeId};

use super::ImportOptions;
use super::read::Reader;
use crate::SnapshotId;
use crate::error::{Error, Outcome};
use crate::watch::Watcher;

/// Paths are relative to where the import goes.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// From the top down.
    pub(super) folders: Vec<(PathBuf, Node)>,
    pub(super) files: Vec<(PathBuf, Node)>,
    /// Links, pipes, sockets.
    pub(super) others: Vec<(PathBuf, Node)>,
    /// Further names of what is in `files` or `others`, and under which name it is there.
    pub(super) hard_links: Vec<(PathBuf, PathBuf)>,
    pub(super) bytes: u64,
}

impl Plan {
    pub(super) fn read<S: IndexedFull>(
        reader: &Reader<'_, S>,
        snapshot: &SnapshotId,
        top: TreeId,
        limits: ImportOptions,
        watcher: &Watcher,
    ) -> Outcome<Self> {
        let mut plan = Self::default();
        let mut groups: HashMap<(u64, u64), Node> = HashMap::new();
        let mut first_names: HashMap<(u64, u64), PathBuf> = HashMap::new();
        let mut open = vec![(PathBuf::new(), top)];
        let mut entries = 0;
        while let Some((folder, tree)) = open.pop() {
            if watcher.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let mut names = HashSet::new();
            for node in reader.folder(&tree, &folder)?.nodes {
                let name = node.name().into_owned();
                let path = folder.join(&name);
                let refused = |what: String| Error::Refused { snapshot: snapshot.0.clone(), what };
                entries += 1;
                if limits.at_most_entries.is_some_and(|most| entries > most) {
                    return Err(refused("more files and folders than it says".into()));
                }
                if !is_one_name(name.as_bytes()) || !names.insert(name) {
                    return Err(refused(format!("the name {:?} in {}", node.name, folder.display())));
                }
                if let Some(what) = refused_kind(&node) {
                    return Err(refused(format!("{what} at {}", path.display())));
                }
                if let Some(group) = group_of(&node) {
                    match groups.get(&group) {
                        Some(first) if is_same_file(first, &node) => {
                            plan.hard_links.push((path, first_names[&group].clone()));
                            continue;
                        }
                        Some(_) => {}
                        None => {
                            groups.insert(group, node.clone());
                            first_names.insert(group, path.clone());
                        }
                    }
                }
                match node.node_type {
                    NodeType::Dir => {
                        let below = node.subtree.ok_or_else(|| refused(format!("no content of {}", path.display())))?;
                        open.push((path.clone(), below));
                        plan.folders.push((path, node));
                    }
                    NodeType::File => {
                        plan.bytes = plan.bytes.saturating_add(node.meta.size);
                        if limits.at_most_bytes.is_some_and(|most| plan.bytes > most) {
                            return Err(refused("more bytes than it says, or than there is room for".into()));
                        }
                        plan.files.push((path, node));
                    }
                    _ => plan.others.push((path, node)),
                }
            }
        }
        Ok(plan)
    }
}

fn is_one_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0)
}

/// The character device 0:0 is none: overlay file systems mark with it what was deleted, and everybody may make it.
fn refused_kind(node: &Node) -> Option<&'static str> {
    match node.node_type {
        NodeType::Dev { .. } => Some("a block device"),
        NodeType::Chardev { device } if device != 0 => Some("a character device"),
        _ => None,
    }
}

fn group_of(node: &Node) -> Option<(u64, u64)> {
    (!node.is_dir() && node.meta.links > 1 && node.meta.inode != 0).then_some((node.meta.device_id, node.meta.inode))
}

fn is_same_file(one: &Node, other: &Node) -> bool {
    one.node_type == other.node_type && one.content == other.content && one.meta.size == other.meta.size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_name_of_one_thing_in_one_folder() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0"] {
            assert!(!is_one_name(bad), "{bad:?}");
        }
        for good in [&b"a"[..], b"...", b"a\nb", b"\xff\xfe", b"-rf", b" "] {
            assert!(is_one_name(good), "{good:?}");
        }
    }
}
