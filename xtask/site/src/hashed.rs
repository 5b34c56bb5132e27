//! Files under names with a hash of their content, with compressed copies beside them, and the list of those names.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::Outcome;

/// Below the site's root; what the portal serves as unchanging.
const FOLDER: &str = "pkg";
/// Smaller files travel in one packet anyway.
const SMALLEST_COMPRESSED: usize = 512;

pub struct HashedFiles {
    root: PathBuf,
    manifest: BTreeMap<String, String>,
}

impl HashedFiles {
    pub fn below(root: &Path) -> Outcome<Self> {
        let folder = root.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|error| format!("Cannot create {}: {error}", folder.display()))?;
        Ok(Self { root: root.to_path_buf(), manifest: BTreeMap::new() })
    }

    /// Writes `name` under its hashed name. Two files of one name are an error.
    pub fn add(&mut self, name: &str, content: &[u8]) -> Outcome<()> {
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        let hash: String = Sha256::digest(content).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let hashed = format!("{FOLDER}/{stem}.{hash}.{extension}");
        self.write(Path::new(&hashed), content)?;
        match self.manifest.insert(format!("{FOLDER}/{name}"), hashed) {
            Some(_) => Err(format!("Two files of the site are named {name}.")),
            None => Ok(()),
        }
    }

    /// Writes a file other files refer to by this very path, below the folder of hashed files.
    pub fn add_as_is(&self, path: &Path, content: &[u8]) -> Outcome<()> {
        self.write(&Path::new(FOLDER).join(path), content)
    }

    pub fn write_manifest(&self) -> Outcome<()> {
        let text = serde_json::to_string_pretty(&self.manifest).map_err(|error| error.to_string())?;
        written(&self.root.join("manifest.json"), text.as_bytes())
    }

    fn write(&self, path: &Path, content: &[u8]) -> Outcome<()> {
        let file = self.root.join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(|error| format!("Cannot create {}: {error}", folder.display()))?;
        }
        written(&file, content)?;
        for (ending, smaller) in [("br", brotli(content)?), ("gz", gzip(content)?)] {
            if content.len() >= SMALLEST_COMPRESSED && smaller.len() < content.len() {
                let mut name = file.clone().into_os_string();
                name.push(format!(".{ending}"));
                written(Path::new(&name), &smaller)?;
            }
        }
        Ok(())
    }
}

fn written(file: &Path, content: &[u8]) -> Outcome<()> {
    fs::write(file, content).map_err(|error| format!("Cannot write {}: {error}", file.display()))
}

fn brotli(content: &[u8]) -> Outcome<Vec<u8>> {
    let best =
        brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 22, size_hint: content.len(), ..Default::default() };
    let mut compressed = Vec::new();
    brotli::BrotliCompress(&mut &*content, &mut compressed, &best)
        .map_err(|error| format!("Cannot compress: {error}"))?;
    Ok(compressed)
}

fn gzip(content: &[u8]) -> Outcome<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).and_then(|()| encoder.finish()).map_err(|error| format!("Cannot compress: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changes_its_name_with_its_content_and_the_manifest_knows_the_name() {
        let site = tempfile::tempdir().expect("temp directory");
        let name_for = |content: &str| {
            let mut files = HashedFiles::below(site.path()).expect("folder");
            files.add("app.js", content.as_bytes()).expect("added");
            files.write_manifest().expect("manifest");
            let manifest = fs::read_to_string(site.path().join("manifest.json")).expect("manifest");
            let names: BTreeMap<String, String> = serde_json::from_str(&manifest).expect("JSON");
            names["pkg/app.js"].clone()
        };
        let (one, other) = (name_for("one"), name_for("other"));
        assert_ne!(one, other);
        assert_eq!(fs::read_to_string(site.path().join(&one)).expect("file"), "one");
        assert_eq!(one, name_for("one"));
    }

    #[test]
    fn compressed_copies_lie_beside_files_that_get_smaller_by_it() {
        let site = tempfile::tempdir().expect("temp directory");
        let mut files = HashedFiles::below(site.path()).expect("folder");
        files.add("long.css", "a { color: red }\n".repeat(100).as_bytes()).expect("added");
        files.add("short.css", b"a {}").expect("added");
        let names: Vec<String> = fs::read_dir(site.path().join("pkg"))
            .expect("folder")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names.iter().filter(|name| name.starts_with("long.")).count(), 3, "{names:?}");
        assert_eq!(names.iter().filter(|name| name.starts_with("short.")).count(), 1, "{names:?}");
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        let site = tempfile::tempdir().expect("temp directory");
        let mut files = HashedFiles::below(site.path()).expect("folder");
        files.add("xterm.js", b"one").expect("added");
        assert!(files.add("xterm.js", b"two").is_err());
    }
}
