//! A file here that is whole or not there.

use std::fs;
use std::path::{Path, PathBuf};

/// A file here under another name until it is whole. Dropped before, nothing is left of it.
pub struct Part {
    part: PathBuf,
    to: PathBuf,
}

impl Part {
    pub fn create(to: &Path) -> std::io::Result<(Self, fs::File)> {
        let mut part = to.as_os_str().to_owned();
        part.push(".part");
        let part = Self { part: PathBuf::from(part), to: to.to_owned() };
        let file = fs::File::create(&part.part)?;
        Ok((part, file))
    }

    pub fn finish(self) -> std::io::Result<()> {
        fs::rename(&self.part, &self.to)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It is there no more when it was finished.
        let _ = fs::remove_file(&self.part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_that_was_not_finished_nothing_is_left() {
        let place = tempfile::tempdir().expect("a directory");
        let to = place.path().join("file");
        drop(Part::create(&to).expect("a part"));
        assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 0);
        let (part, _) = Part::create(&to).expect("a part");
        part.finish().expect("a file");
        assert!(to.is_file());
        assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 1);
    }
}
