//! What it takes to make the agent for servers with other processors than this machine's (`bookend-agent-arm64`): the target of
//! the compiler in use, and Debian's cross compiler, which also links.
//!
//! Nobody needs it for servers on this machine, and a portal without it refuses orders of the others in words: where it cannot
//! be made one line says so, and everything else is made.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};

use crate::machine::{self, Need};
use crate::progress::Progress;
use crate::targets;
use crate::workspace::Workspace;

/// The other kind of processor, seen from this machine.
pub struct Other {
    /// As templates have it.
    pub architecture: &'static str,
    pub triple: &'static str,
    /// Compiler of C, and linker.
    pub compiler: &'static str,
    needs: &'static [Need],
    /// Runs its programs here: instances of the fake EC2.
    emulator: Need,
}

const ARM64: Other = Other {
    architecture: "arm64",
    triple: "aarch64-unknown-linux-gnu",
    compiler: "aarch64-linux-gnu-gcc",
    needs: &[
        Need { program: "aarch64-linux-gnu-gcc", package: "gcc-aarch64-linux-gnu" },
        Need { program: "/usr/aarch64-linux-gnu/lib/libc.a", package: "libc6-dev-arm64-cross" },
    ],
    emulator: Need { program: "qemu-aarch64-static", package: "qemu-user-static" },
};

const X86_64: Other = Other {
    architecture: "x86_64",
    triple: "x86_64-unknown-linux-gnu",
    compiler: "x86_64-linux-gnu-gcc",
    needs: &[
        Need { program: "x86_64-linux-gnu-gcc", package: "gcc-x86-64-linux-gnu" },
        Need { program: "/usr/x86_64-linux-gnu/lib/libc.a", package: "libc6-dev-amd64-cross" },
    ],
    emulator: Need { program: "qemu-x86_64-static", package: "qemu-user-static" },
};

impl Other {
    /// Where its agent is.
    pub fn path(&self, dist: &Path) -> PathBuf {
        dist.join(format!("bookend-agent-{}", self.architecture))
    }

    fn seen_from_here() -> Option<&'static Self> {
        match ARCH {
            "x86_64" => Some(&ARM64),
            "aarch64" => Some(&X86_64),
            _ => None,
        }
    }
}

/// The other kind, where its agent can be made here. `run`: and run.
pub fn prepared(workspace: &Workspace, progress: &Progress, run: bool) -> Option<&'static Other> {
    let other = Other::seen_from_here()?;
    let purpose = format!("make the agent for {} servers", other.architecture);
    let needs = [other.needs, if run { std::slice::from_ref(&other.emulator) } else { &[] }].concat();
    let why = match targets::provided(workspace, progress, "target of other processors", other.triple) {
        true => machine::provide(workspace, progress, &purpose, &needs).err(),
        false => Some(format!("the compiler in use needs its target {}, which rustup brings", other.triple)),
    };
    why.inspect(|why| left_out(other, why)).is_none().then_some(other)
}

/// Whether what is usual on EC2 is of the other kind.
pub fn is_usual() -> bool {
    Other::seen_from_here().is_some_and(|other| other.architecture == X86_64.architecture)
}

/// Whether somebody had it made.
pub fn was_made(dist: &Path) -> bool {
    Other::seen_from_here().is_some_and(|other| other.path(dist).exists())
}

/// One of another age than the portal is worse than none.
pub fn remove(dist: &Path) {
    if let Some(other) = Other::seen_from_here() {
        let _ = fs::remove_file(other.path(dist));
    }
}

pub fn left_out(other: &Other, why: &str) {
    let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
    eprintln!("Without the agent for {} servers: {why}", other.architecture);
}
