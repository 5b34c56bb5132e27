//! Puts the site together: what the portal serves as files.
//!
//! `site WASM STYLE SCRIPTS DESTINATION` makes of
//! - the browser part's wasm: `pkg/app.HASH.js` and `pkg/app_bg.HASH.wasm` (and `pkg/snippets/`, when crates bring script),
//! - the style sheet STYLE with all it imports: `pkg/bookend.HASH.css`,
//! - every script, style, font and picture below SCRIPTS, whatever folder it is in: `pkg/NAME.HASH.EXTENSION`,
//!
//! and `manifest.json`: the name without hash → the name with it, both below the site's root (`"pkg/app.js":
//! "pkg/app.3f2a….js"`). HASH is of the content, so a file never changes under its name and may be cached for ever. Beside
//! each file that gets smaller by it lie `.br` and `.gz`.
//!
//! The destination is replaced as a whole, at the end; a portal that serves it meanwhile never sees half of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod bind;
mod hashed;
mod style;

use hashed::HashedFiles;

/// What went wrong, in words.
type Outcome<T> = Result<T, String>;

/// Files of the scripts folder that are for the browser; the rest (licences, notes) stays where it is.
const FOR_THE_BROWSER: [&str; 6] = ["js", "css", "svg", "png", "woff2", "webmanifest"];

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [wasm, style, scripts, destination] = arguments.as_slice() else {
        eprintln!("usage: site WASM STYLE SCRIPTS DESTINATION");
        return ExitCode::from(2);
    };
    match put_together(wasm, style, scripts, destination) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn put_together(wasm: &Path, style: &Path, scripts: &Path, destination: &Path) -> Outcome<()> {
    let fresh = destination.with_extension("new");
    remove(&fresh)?;
    let mut files = HashedFiles::below(&fresh)?;

    let bound = bind::bind(wasm)?;
    files.add("app.js", bound.script.as_bytes())?;
    files.add("app_bg.wasm", &bound.wasm)?;
    for (path, script) in &bound.snippets {
        files.add_as_is(&Path::new("snippets").join(path), script.as_bytes())?;
    }
    if style.exists() {
        files.add("bookend.css", style::bundled(style)?.as_bytes())?;
    }
    for file in files_below(scripts) {
        let wanted = file.extension().and_then(|it| it.to_str()).is_some_and(|it| FOR_THE_BROWSER.contains(&it));
        let name = file.file_name().and_then(|it| it.to_str()).filter(|_| wanted);
        if let Some(name) = name {
            files.add(name, &read(&file)?)?;
        }
    }
    files.write_manifest()?;

    remove(destination)?;
    fs::rename(&fresh, destination).map_err(|error| format!("Cannot put {} in place: {error}", destination.display()))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn read(file: &Path) -> Outcome<Vec<u8>> {
    fs::read(file).map_err(|error| format!("Cannot read {}: {error}", file.display()))
}

fn remove(folder: &Path) -> Outcome<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("Cannot remove {}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}
