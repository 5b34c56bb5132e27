//! The names of the environment's servers in `/etc/hosts`, between two lines of the agent's own. Everything else in the file
//! stays as it is.

use std::io;
use std::path::Path;

use crate::api::HostEntry;

const BEGIN: &str = "# Bookend keeps these lines: servers of this environment";
const END: &str = "# Bookend's lines end here";

/// A lower-case DNS label.
pub(super) fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && !name.starts_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Has these names, and no others of an earlier time, stand in the file.
pub(super) fn keep(file: &Path, hosts: &[HostEntry]) -> io::Result<()> {
    // What a link leads to is the file that is read.
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let present = match std::fs::read_to_string(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    let wanted = with(&present, hosts);
    if wanted == present {
        return Ok(());
    }
    let fresh = file.with_extension("bookend");
    let written = std::fs::write(&fresh, &wanted).and_then(|()| {
        if let Ok(earlier) = std::fs::metadata(&file) {
            std::fs::set_permissions(&fresh, earlier.permissions())?;
        }
        std::fs::rename(&fresh, &file)
    });
    match written {
        Ok(()) => Ok(()),
        // A file that is mounted here cannot be replaced, nor one whose directory cannot be written.
        Err(_) => {
            std::fs::remove_file(&fresh).ok();
            std::fs::write(&file, &wanted)
        }
    }
}

fn with(present: &str, hosts: &[HostEntry]) -> String {
    let mut text = String::new();
    let mut inside = false;
    // Where the end is missing, only lines that could be the agent's own are taken for them.
    let complete = present.lines().any(|line| line == END);
    for line in present.lines() {
        match line {
            BEGIN => inside = true,
            END => inside = false,
            _ if inside && (complete || line.split_whitespace().count() == 2) => {}
            other => {
                inside = false;
                text.push_str(other);
                text.push('\n');
            }
        }
    }
    if !hosts.is_empty() {
        text.push_str(&format!("{BEGIN}\n"));
        hosts.iter().for_each(|host| text.push_str(&format!("{} {}\n", host.address, host.name)));
        text.push_str(&format!("{END}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn host(name: &str, last: u8) -> HostEntry {
        HostEntry { name: name.into(), address: [10, 0, 0, last].into() }
    }

    #[test]
    fn the_agents_lines_change_and_all_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hosts");
        std::fs::write(&file, "127.0.0.1 localhost\n# mine\n10.9.9.9 elsewhere").unwrap();
        keep(&file, &[host("web", 2), host("db", 3)]).unwrap();
        let once = std::fs::read_to_string(&file).unwrap();
        assert_eq!(
            once,
            format!("127.0.0.1 localhost\n# mine\n10.9.9.9 elsewhere\n{BEGIN}\n10.0.0.2 web\n10.0.0.3 db\n{END}\n")
        );
        let inode = std::fs::metadata(&file).unwrap().ino();
        keep(&file, &[host("web", 2), host("db", 3)]).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().ino(), inode, "nothing new, nothing written");
        std::fs::write(&file, format!("{once}10.8.8.8 added-later\n")).unwrap();
        keep(&file, &[host("db", 9)]).unwrap();
        let changed = std::fs::read_to_string(&file).unwrap();
        assert!(changed.contains("10.8.8.8 added-later\n") && changed.contains("10.0.0.9 db\n"), "{changed}");
        assert!(!changed.contains("web"), "{changed}");
        keep(&file, &[]).unwrap();
        assert!(!std::fs::read_to_string(&file).unwrap().contains("Bookend"));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_lost_the_end_of_the_agents_lines_loses_nothing_of_others() {
        let present = format!("{BEGIN}\n10.0.0.2 web\n10.1.1.1 a b c\n");
        assert_eq!(with(&present, &[]), "10.1.1.1 a b c\n");
    }

    #[test]
    fn a_file_in_a_directory_that_cannot_be_written_is_written_in_place() {
        // Names that are too long have no room for another beside them.
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("h".repeat(255));
        std::fs::write(&file, "127.0.0.1 localhost\n").unwrap();
        let inode = std::fs::metadata(&file).unwrap().ino();
        keep(&file, &[host("web", 2)]).unwrap();
        assert!(std::fs::read_to_string(&file).unwrap().contains("10.0.0.2 web\n"));
        assert_eq!(std::fs::metadata(&file).unwrap().ino(), inode);
    }

    #[test]
    fn only_labels_are_names() {
        assert!(is_label("web-1"));
        for odd in ["", "-a", "a b", "a\n10.0.0.1 bank", "A", "a.b"] {
            assert!(!is_label(odd), "{odd:?}");
        }
    }
}
