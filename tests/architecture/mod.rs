//! What ARCHITECTURE.md promises about the sources themselves.

// Reading the repository's own files cannot fail where the tests were just built from them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// The sources below a folder of the repository, without tests, with what is test code at a file's end cut off.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                if name != "tests" {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && name != "conformance.rs" {
                found.push((relative(&root, &path), product_code(&path)));
            }
        }
    }
    assert!(!found.is_empty(), "nothing below {folder}");
    found
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap().display().to_string()
}

fn product_code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every place where one of `words` stands in a source that `allowed` does not take.
fn offences(folder: &str, words: &[&str], allowed: impl Fn(&str) -> bool) -> Vec<String> {
    let sources = sources(folder);
    let places = sources.iter().filter(|(path, _)| !allowed(path)).flat_map(|(path, code)| {
        let used = words.iter().filter(move |word| code.contains(**word));
        used.map(move |word| format!("{path}: {word}"))
    });
    places.collect()
}

#[test]
fn the_domain_does_no_io_and_reads_no_clock() {
    let words = [
        "std::fs",
        "std::net::Tcp",
        "std::process",
        "std::env",
        "tokio::",
        "sqlx",
        "reqwest",
        "axum",
        "Instant::now",
        "SystemTime",
        "Timestamp::now",
        "Zoned::now",
        "async fn",
        "crate::store",
        "crate::engine",
        "crate::service",
    ];
    assert_eq!(offences("server/src/domain", &words, |_| false), Vec::<String>::new());
}

#[test]
fn only_the_store_speaks_sql() {
    let words = ["sqlx::query", "sqlx::raw_sql", "query_as", "query_scalar", "insert into ", "delete from "];
    let found = offences("server/src", &words, |path| path.starts_with("server/src/store/"));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn only_the_engine_asks_a_provisioner_for_anything() {
    let words = ["dyn Provisioner", ".request(&effect", ".inventory("];
    let found = offences("server/src", &words, |path| {
        // Made at start, handed to the engine.
        path.starts_with("server/src/engine/") || path.starts_with("server/src/serve")
    });
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn pages_know_neither_the_database_nor_the_machines() {
    assert_eq!(
        offences("app/src", &["sqlx", "provisioners::", "std::fs", "TcpStream"], |_| false),
        Vec::<String>::new()
    );
}
