//! Where things are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Workspace {
    pub root: PathBuf,
    /// `target/`, or what `CARGO_TARGET_DIR` says.
    pub target: PathBuf,
}

impl Workspace {
    pub fn find() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf();
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        Self { root, target }
    }

    /// What `up` runs: `bookend`, `bookend-agent`, `site/`; perhaps `bookend-agent-arm64`.
    pub fn dist(&self) -> PathBuf {
        self.target.join("dist")
    }

    /// The same for tests, with a debug build of `bookend`.
    pub fn test_dist(&self) -> PathBuf {
        self.target.join("test-dist")
    }

    /// Stamps and logs of this program.
    pub fn notes(&self) -> PathBuf {
        self.target.join("xtask")
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.notes().join(format!("{name}.log"))
    }

    /// The cargo that runs this program, in the workspace's root.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        command
    }
}
