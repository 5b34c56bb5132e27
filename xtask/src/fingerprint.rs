//! Whether a part must be made again, decided from names, sizes and times of its source files.
//!
//! Cargo decides the same more thoroughly, and is asked whenever a fingerprint differs; but asking it about three builds
//! takes longer than a second `up` may.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::Outcome;

/// Fingerprint of the files below `inputs` (files or folders, relative to `root`; absent ones count as absent) and of
/// whatever else decides the result.
pub fn of(root: &Path, inputs: &[&str], also: &impl Hash) -> String {
    let mut files = Vec::new();
    for input in inputs {
        collect(&root.join(input), &mut files);
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    also.hash(&mut hasher);
    for file in &files {
        file.hash(&mut hasher);
        if let Ok(about) = fs::metadata(file) {
            about.len().hash(&mut hasher);
            about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).hash(&mut hasher);
        }
    }
    // The compiler decides the result too; rustup tells which one it chose.
    std::env::var_os("RUSTUP_TOOLCHAIN").hash(&mut hasher);
    std::env::var_os("RUSTFLAGS").hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Remembers the fingerprint something was last made from.
pub struct Stamp {
    file: PathBuf,
}

impl Stamp {
    pub fn new(notes: &Path, name: &str) -> Self {
        Self { file: notes.join(format!("{name}.stamp")) }
    }

    pub fn matches(&self, fingerprint: &str) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|written| written == fingerprint)
    }

    pub fn write(&self, fingerprint: &str) -> Outcome<()> {
        let wrote =
            self.file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&self.file, fingerprint));
        wrote.map_err(|error| format!("Cannot write {}: {error}", self.file.display()))
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        files.push(path.to_path_buf());
        return;
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name != "target" && name != "node_modules" && !name.as_encoded_bytes().starts_with(b".") {
            collect(&entry.path(), files);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("bookend-fingerprint-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("app/src")).expect("temp directory");
        fs::write(directory.join("app/src/lib.rs"), "one").expect("temp file");
        directory
    }

    #[test]
    fn a_changed_or_added_source_file_changes_the_fingerprint_and_build_products_do_not() {
        let root = scratch("changes");
        let before = of(&root, &["app", "absent"], &());
        fs::create_dir_all(root.join("app/target")).expect("temp directory");
        fs::write(root.join("app/target/product"), "x").expect("temp file");
        assert_eq!(before, of(&root, &["app", "absent"], &()));

        fs::write(root.join("app/src/lib.rs"), "longer").expect("temp file");
        let changed = of(&root, &["app", "absent"], &());
        assert_ne!(before, changed);
        fs::write(root.join("app/src/page.rs"), "").expect("temp file");
        assert_ne!(changed, of(&root, &["app", "absent"], &()));
        let _ = fs::remove_dir_all(root);
    }

    #[test]
    fn a_stamp_matches_only_the_fingerprint_it_was_written_with() {
        let root = scratch("stamp");
        let stamp = Stamp::new(&root.join("notes"), "agent");
        assert!(!stamp.matches("a"));
        stamp.write("a").expect("stamp");
        assert!(stamp.matches("a") && !stamp.matches("b"));
        let _ = fs::remove_dir_all(root);
    }
}
