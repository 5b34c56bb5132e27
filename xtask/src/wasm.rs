//! A compiler for the browser part: the one in use with its wasm32 target, or Debian's.
//!
//! The compiler in use is preferred, and rustup is asked to bring the target. Where it cannot (no rustup, or its server is
//! out of reach), Debian's packaged compiler does it: Debian ships no standard library for wasm32, so one is built from the
//! packaged source, once, into `target/wasm-sysroot`. Setting `BOOKEND_WASM=debian` chooses this way at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::machine::{self, Need};
use crate::progress::Progress;
use crate::run;
use crate::targets;
use crate::workspace::Workspace;

pub const TARGET: &str = "wasm32-unknown-unknown";
const TITLE: &str = "wasm target";

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub enum Compiler {
    InUse,
    Debian { sysroot: PathBuf },
}

impl Compiler {
    /// What it needs of the machine.
    pub fn needs(&self) -> &'static [Need] {
        match self {
            Compiler::InUse => &[],
            Compiler::Debian { .. } => machine::DEBIAN_WASM,
        }
    }

    /// Makes it able to build for the browser, once its needs are met.
    pub fn prepare(&self, workspace: &Workspace, progress: &Progress) -> Outcome<()> {
        match self {
            Compiler::InUse => Ok(()),
            Compiler::Debian { sysroot } => standard_library(workspace, progress, sysroot),
        }
    }

    /// Cargo with this compiler.
    pub fn cargo(&self, workspace: &Workspace) -> Command {
        match self {
            Compiler::InUse => workspace.cargo(),
            Compiler::Debian { sysroot } => {
                let mut cargo = debian_cargo(&workspace.root);
                cargo.env("RUSTFLAGS", format!("--sysroot={} -C linker=wasm-ld-22", sysroot.display()));
                cargo
            }
        }
    }

    /// The two compilers' products do not mix.
    pub fn target_directory(&self, workspace: &Workspace) -> PathBuf {
        workspace.target.join(match self {
            Compiler::InUse => "web",
            Compiler::Debian { .. } => "web-debian",
        })
    }
}

/// Which compiler it is to be; asks rustup for the target where that is missing.
pub fn choose(workspace: &Workspace, progress: &Progress) -> Outcome<Compiler> {
    let debian = Compiler::Debian { sysroot: workspace.target.join("wasm-sysroot") };
    if std::env::var_os("BOOKEND_WASM").is_some_and(|way| way == "debian") {
        return Ok(debian);
    }
    Ok(if targets::provided(workspace, progress, TITLE, TARGET) { Compiler::InUse } else { debian })
}

/// The browser part is optimised as a whole, the standard library included; cargo leaves out what that takes.
const WITH_BITCODE: &str = "-Cembed-bitcode=yes";

/// Builds the standard library for the browser from Debian's source, unless this version's is there.
fn standard_library(workspace: &Workspace, progress: &Progress, sysroot: &Path) -> Outcome<()> {
    let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let compiler = run::answer(Command::new("/usr/bin/rustc").arg("-V")).unwrap_or_default();
    let version = format!("{compiler} {WITH_BITCODE}");
    let built_by = sysroot.join("built-by");
    if targets::has_library(&libraries, "libstd-") && fs::read_to_string(&built_by).is_ok_and(|text| text == version) {
        progress.fresh("wasm standard library", "all there");
        return Ok(());
    }
    progress.part("wasm standard library", |part| {
        part.at(&version);
        let _ = fs::remove_dir_all(sysroot);
        let scaffold = sysroot.join("scaffold");
        let target = scaffold.join("target");
        write_empty_crate(&scaffold).map_err(|error| format!("Cannot write {}: {error}", scaffold.display()))?;
        let mut cargo = debian_cargo(&scaffold);
        cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_DIR", &target).env("RUSTFLAGS", WITH_BITCODE);
        cargo.args(["build", "-Zbuild-std=std,panic_abort", "--release", "--target", TARGET]);
        run::logged("build the standard library for the browser", &mut cargo, &workspace.log("wasm-sysroot"), part)?;
        // What was compiled against another standard library does not fit this one, and cargo cannot tell.
        let _ = fs::remove_dir_all(Compiler::Debian { sysroot: sysroot.to_owned() }.target_directory(workspace));
        let copied = copy_libraries(&target.join(TARGET).join("release/deps"), &libraries)
            .and_then(|()| fs::remove_dir_all(&scaffold))
            .and_then(|()| fs::write(&built_by, &version));
        copied.map_err(|error| format!("Cannot lay out {}: {error}", sysroot.display()))
    })
}

fn debian_cargo(directory: &Path) -> Command {
    let mut cargo = Command::new("/usr/bin/cargo");
    cargo.current_dir(directory).env("RUSTC", "/usr/bin/rustc");
    // What the cargo that runs us tells about its own compiler does not hold for this one.
    for name in ["RUSTUP_TOOLCHAIN", "RUSTFLAGS", "RUSTC_WRAPPER", "CARGO", "LD_LIBRARY_PATH"] {
        cargo.env_remove(name);
    }
    cargo
}

fn write_empty_crate(directory: &Path) -> std::io::Result<()> {
    fs::create_dir_all(directory.join("src"))?;
    fs::write(directory.join("src/lib.rs"), "")?;
    fs::write(
        directory.join("Cargo.toml"),
        "[package]\nname = \"scaffold\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n",
    )
}

fn copy_libraries(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "rlib") {
            fs::copy(&path, to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
