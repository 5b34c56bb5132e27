//! The programs under test.

use std::env;
use std::path::{Path, PathBuf};

/// The folder with `bookend`, `bookend-agent` and `site/`: what `BOOKEND_DIST` says, else where the last
/// `cargo xtask test` put them, so that a single story can be repeated with plain `cargo test`.
pub fn dist() -> PathBuf {
    let folder = env::var_os("BOOKEND_DIST").map_or_else(last_test_dist, PathBuf::from);
    assert!(
        folder.join("bookend").exists(),
        "There is no program to test in {}: run `cargo xtask test`, which builds it.",
        folder.display()
    );
    folder
}

pub fn bookend() -> PathBuf {
    dist().join("bookend")
}

/// `cargo xtask`, built with everything else.
pub fn xtask() -> PathBuf {
    target().join("debug/xtask")
}

/// Where pictures of failures and of the journey go.
pub fn pictures() -> PathBuf {
    target().join("pictures")
}

fn last_test_dist() -> PathBuf {
    target().join("test-dist")
}

fn target() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}
