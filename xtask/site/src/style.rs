//! One style sheet from several: `@import "file.css";` and `@import "file.css" layer(name);` are replaced by that file.
//!
//! Deliberately absent: minifying. Compressed, comments and spaces cost next to nothing, and what a browser's tools show
//! stays readable.

use std::path::{Path, PathBuf};

use crate::{Outcome, read};

pub fn bundled(entry: &Path) -> Outcome<String> {
    let mut open = Vec::new();
    let mut text = String::new();
    append(entry, &mut open, &mut text)?;
    Ok(text)
}

fn append(file: &Path, open: &mut Vec<PathBuf>, text: &mut String) -> Outcome<()> {
    if open.iter().any(|one| one == file) {
        return Err(format!("{} imports itself.", file.display()));
    }
    open.push(file.to_path_buf());
    let source = String::from_utf8(read(file)?).map_err(|_| format!("{} is not UTF-8.", file.display()))?;
    for (number, line) in source.lines().enumerate() {
        let Some(import) = line.trim().strip_prefix("@import ") else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let wrong = || {
            let place = format!("{}:{}", file.display(), number + 1);
            format!("{place}: write @import \"file.css\"; or @import \"file.css\" layer(name); instead of {line:?}")
        };
        let (name, condition) = parse_import(import).ok_or_else(wrong)?;
        let imported = file.parent().unwrap_or(Path::new("")).join(name);
        match condition {
            None => append(&imported, open, text)?,
            Some(layer) => {
                text.push_str(&format!("@layer {layer} {{\n"));
                append(&imported, open, text)?;
                text.push_str("}\n");
            }
        }
    }
    open.pop();
    Ok(())
}

/// `"file.css" layer(name);` → the file and the layer.
fn parse_import(import: &str) -> Option<(&str, Option<&str>)> {
    let (name, rest) = import.trim().strip_prefix('"')?.split_once('"')?;
    let condition = rest.trim().strip_suffix(';')?.trim();
    if condition.is_empty() {
        return Some((name, None));
    }
    Some((name, Some(condition.strip_prefix("layer(")?.strip_suffix(')')?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn sheets(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("temp directory");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("temp file");
        }
        folder
    }

    #[test]
    fn imported_sheets_stand_where_they_were_imported_in_their_layer() {
        let folder = sheets(&[
            ("main.css", "@import \"tokens.css\";\n@import \"base.css\" layer(base);\nbody {}\n"),
            ("tokens.css", ":root {}\n"),
            ("base.css", "a {}\n"),
        ]);
        let text = bundled(&folder.path().join("main.css")).expect("bundle");
        assert_eq!(text, ":root {}\n@layer base {\na {}\n}\nbody {}\n");
    }

    #[test]
    fn an_import_it_cannot_follow_is_refused_with_its_place() {
        let folder =
            sheets(&[("main.css", "a {}\n@import url(x.css) screen;\n"), ("loop.css", "@import \"loop.css\";\n")]);
        let problem = bundled(&folder.path().join("main.css")).expect_err("refused");
        assert!(problem.contains("main.css:2"), "{problem}");
        assert!(bundled(&folder.path().join("loop.css")).expect_err("refused").contains("imports itself"));
    }
}
