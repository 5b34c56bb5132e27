//! One style sheet from several: `@import "file.css";` and `@import "file.css" layer(name);` are replaced by that file.
//! Comments and indentation stay behind: compressed, they are a tenth of the sheet.
//!
//! Deliberately absent: further minifying. Compressed, it saves next to nothing.

use std::path::{Path, PathBuf};

use crate::{Outcome, read};

pub fn bundled(entry: &Path) -> Outcome<String> {
    let mut open = Vec::new();
    let mut text = String::new();
    append(entry, &mut open, &mut text)?;
    Ok(bare(&text))
}

/// Without comments, indentation and empty lines. Quoted text is left as it is.
fn bare(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let (before, from) = rest.split_at(at);
        kept.push_str(before);
        let quote = from.get(..1).filter(|mark| *mark != "/");
        let end = match quote {
            Some(quote) => from[1..].find(quote).map(|end| end + 2),
            None if from.starts_with("/*") => from.find("*/").map(|end| end + 2),
            None => Some(1),
        };
        let (token, after) = from.split_at(end.unwrap_or(from.len()));
        if !token.starts_with("/*") {
            kept.push_str(token);
        }
        rest = after;
    }
    kept.push_str(rest);
    kept.lines().map(str::trim).filter(|line| !line.is_empty()).flat_map(|line| [line, "\n"]).collect()
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
    fn comments_and_indentation_are_left_out_and_quoted_text_stays() {
        let folder = sheets(&[(
            "main.css",
            "/* Two\n   lines. */\na {\n  color: red; /* Why. */\n\n  content: \"/* no */ 'comment'\";\n}\nb { inset: 1px / 2px }\n",
        )]);
        let text = bundled(&folder.path().join("main.css")).expect("bundle");
        assert_eq!(text, "a {\ncolor: red;\ncontent: \"/* no */ 'comment'\";\n}\nb { inset: 1px / 2px }\n");
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
