//! The parts, each from its sources to its place in a dist folder.
//!
//! Three builds that share little: the browser part (wasm), the agent (static, so that it runs in every image), and the
//! server; and the agent once more for servers with other processors. Each remembers what it was made from ([`crate::fingerprint`]); cargo is asked only when that changed.

use std::env::consts::ARCH;
use std::fs;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::fingerprint::{self, Stamp};
use crate::others::{self, Other};
use crate::progress::Progress;
use crate::run;
use crate::wasm::{self, Compiler};
use crate::workspace::Workspace;

/// What every build depends on.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "Cargo.lock", ".cargo"];
/// Sources of the program that puts the site together.
const SITE_TOOL: &str = "xtask/site";

/// How the portal itself is built.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Flavour {
    Release,
    /// For tests: with the other crates of the workspace and their tests, in cargo's `dev` profile.
    Tests,
}

/// Builds everything into the dist folder of `flavour`; with the agent for `other` processors, where that can be made.
pub fn everything(
    workspace: &Workspace,
    progress: &Progress,
    compiler: &Compiler,
    flavour: Flavour,
    other: Option<&Other>,
) -> Outcome<()> {
    let dist = match flavour {
        Flavour::Release => workspace.dist(),
        Flavour::Tests => workspace.test_dist(),
    };
    fs::create_dir_all(&dist).map_err(|error| format!("Cannot create {}: {error}", dist.display()))?;
    // Side by side: each build has stretches in which it can use only one core.
    let (server, rest) = std::thread::scope(|scope| {
        let server = scope.spawn(|| match flavour {
            Flavour::Release => server(workspace, progress),
            Flavour::Tests => workspace_with_tests(workspace, progress),
        });
        let rest = browser_part(workspace, progress, compiler).and_then(|wasm| {
            let agent = agent(workspace, progress)?;
            site_tool(workspace, progress)?;
            let made = other.map(|other| other_agent(workspace, progress, other, &dist).map_err(|why| (other, why)));
            if let Some(Err((other, why))) = &made {
                others::left_out(other, why);
            }
            if !matches!(made, Some(Ok(()))) {
                others::remove(&dist);
            }
            Ok((wasm, agent))
        });
        (server.join().unwrap_or_else(|_| Err("The build of the server ended in a panic.".into())), rest)
    });
    let (server, (wasm, agent)) = both(server, rest)?;
    site(workspace, progress, &wasm, &dist.join("site"))?;
    place(&agent, &dist.join("bookend-agent"))?;
    if flavour == Flavour::Tests {
        place(&workspace.target.join("debug/fake-ec2"), &dist.join("fake-ec2"))?;
    }
    place(&server, &dist.join("bookend"))
}

/// The make-believe Amazon, beside the portal in release.
pub fn fake_ec2(workspace: &Workspace, progress: &Progress) -> Outcome<()> {
    let product = workspace.target.join("release/fake-ec2");
    let inputs = ["tests/fake_ec2", "provisioners/holder"];
    when_changed(workspace, progress, "fake EC2", &inputs, &"release", &product, |part| {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--release", "--package", "fake_ec2", "--bin", "fake-ec2"]);
        run::logged("build the fake EC2", &mut cargo, &workspace.log("fake-ec2"), part)
    })?;
    place(&product, &workspace.dist().join("fake-ec2"))
}

/// Both results, or the failure that made the other one give up.
fn both<A, B>(one: Outcome<A>, other: Outcome<B>) -> Outcome<(A, B)> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(problem), Err(gave_up)) if gave_up.starts_with(run::GAVE_UP) => Err(problem),
        (_, Err(problem)) | (Err(problem), _) => Err(problem),
    }
}

/// The portal in release: the program's path.
fn server(workspace: &Workspace, progress: &Progress) -> Outcome<PathBuf> {
    let inputs = ["server", "app", "provisioners", "migrations", "templates"];
    let product = workspace.target.join("release/bookend");
    let made = when_changed(workspace, progress, "server", &inputs, &"release", &product, |part| {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--release", "--package", "bookend", "--bin", "bookend"]);
        run::logged("build the server", &mut cargo, &workspace.log("server"), part)
    });
    made.map(|()| product)
}

/// All crates with their tests, and the debug portal among them. Cargo decides what is to be done.
fn workspace_with_tests(workspace: &Workspace, progress: &Progress) -> Outcome<PathBuf> {
    progress.part("server and tests", |part| {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--workspace", "--all-targets"]);
        run::logged("build the server and the tests", &mut cargo, &workspace.log("tests"), part)
    })?;
    Ok(workspace.target.join("debug/bookend"))
}

/// The agent, linked statically: the program's path.
pub fn agent(workspace: &Workspace, progress: &Progress) -> Outcome<PathBuf> {
    agent_for(workspace, progress, "agent", &format!("{ARCH}-unknown-linux-gnu"), &[])
}

/// The same for other processors, placed beside it by its own name.
fn other_agent(workspace: &Workspace, progress: &Progress, other: &Other, dist: &Path) -> Outcome<()> {
    let name = other.triple.replace('-', "_");
    let tools = [
        (format!("CC_{name}"), other.compiler),
        (format!("CARGO_TARGET_{}_LINKER", name.to_ascii_uppercase()), other.compiler),
    ];
    let product = agent_for(workspace, progress, "agent for other processors", other.triple, &tools)?;
    place(&product, &other.path(dist))
}

fn agent_for(
    workspace: &Workspace,
    progress: &Progress,
    title: &'static str,
    triple: &str,
    tools: &[(String, &str)],
) -> Outcome<PathBuf> {
    let directory = workspace.target.join("agent");
    let product = directory.join(triple).join("release/bookend-agent");
    let inputs = ["provisioners/agent", "provisioners/holder"];
    let made = when_changed(workspace, progress, title, &inputs, &triple, &product, |part| {
        let mut cargo = workspace.cargo();
        cargo.env("RUSTFLAGS", "-C target-feature=+crt-static").env("CARGO_TARGET_DIR", &directory);
        cargo.envs(tools.iter().map(|(name, value)| (name, value)));
        cargo.args(["build", "--release", "--package", "bookend-agent", "--bin", "bookend-agent", "--target", triple]);
        run::logged(&format!("build the {title}"), &mut cargo, &workspace.log(&title.replace(' ', "-")), part)
    });
    made.map(|()| product)
}

/// The browser part: the path of its wasm, not yet bound.
fn browser_part(workspace: &Workspace, progress: &Progress, compiler: &Compiler) -> Outcome<PathBuf> {
    let directory = compiler.target_directory(workspace);
    let product = directory.join(wasm::TARGET).join("web/app.wasm");
    let made = when_changed(workspace, progress, "browser part", &["app"], compiler, &product, |part| {
        let mut cargo = compiler.cargo(workspace);
        cargo.env("CARGO_TARGET_DIR", &directory);
        cargo.args(["rustc", "--package", "app", "--lib", "--crate-type", "cdylib", "--features", "hydrate"]);
        cargo.args(["--profile", "web", "--target", wasm::TARGET]);
        run::logged("build the browser part", &mut cargo, &workspace.log("browser-part"), part)
    });
    made.map(|()| product)
}

/// The program that puts the site together.
fn site_tool(workspace: &Workspace, progress: &Progress) -> Outcome<()> {
    let product = workspace.target.join("debug/site");
    when_changed(workspace, progress, "site tool", &[SITE_TOOL], &"debug", &product, |part| {
        let mut build = workspace.cargo();
        build.args(["build", "--package", "site"]);
        run::logged("build the program that puts the site together", &mut build, &workspace.log("site-tool"), part)
    })
}

/// Binds the wasm, bundles styles and scripts, names them by content and compresses them: the site tool does it.
fn site(workspace: &Workspace, progress: &Progress, wasm: &Path, destination: &Path) -> Outcome<()> {
    require_equal_versions(&workspace.root)?;
    let modified = fs::metadata(wasm).and_then(|about| about.modified()).ok();
    let also = (wasm, modified, destination);
    let inputs = [SITE_TOOL, "app/browser", "style"];
    let product = destination.join("manifest.json");
    when_changed(workspace, progress, site_title(destination), &inputs, &also, &product, |part| {
        let mut tool = Command::new(workspace.target.join("debug/site"));
        tool.current_dir(&workspace.root).arg(wasm).arg("style/main.css").arg("app/browser").arg(destination);
        run::logged("put the site together", &mut tool, &workspace.log("site"), part)
    })
}

/// Both dist folders have a site, and each its own stamp.
fn site_title(destination: &Path) -> &'static str {
    if destination.parent().is_some_and(|dist| dist.ends_with("test-dist")) { "site for tests" } else { "site" }
}

/// Makes `product` unless it is there and nothing it is made from changed.
fn when_changed(
    workspace: &Workspace,
    progress: &Progress,
    title: &'static str,
    inputs: &[&str],
    also: &impl Hash,
    product: &Path,
    make: impl FnOnce(&crate::progress::Part) -> Outcome<()>,
) -> Outcome<()> {
    let inputs: Vec<&str> = inputs.iter().chain(&MANIFESTS).copied().collect();
    let fingerprint = fingerprint::of(&workspace.root, &inputs, also);
    let stamp = Stamp::new(&workspace.notes(), &title.replace(' ', "-"));
    if product.exists() && stamp.matches(&fingerprint) {
        progress.fresh(title, "nothing changed");
        return Ok(());
    }
    progress.part(title, make)?;
    stamp.write(&fingerprint)
}

/// Puts a program where it is run from, without disturbing one that runs there now.
fn place(product: &Path, destination: &Path) -> Outcome<()> {
    let same = |one: &Path, other: &Path| -> std::io::Result<bool> {
        let (one, other) = (fs::metadata(one)?, fs::metadata(other)?);
        Ok(one.len() == other.len() && one.modified()? <= other.modified()?)
    };
    if same(product, destination).unwrap_or(false) {
        return Ok(());
    }
    let fresh = destination.with_extension("new");
    let placed = fs::copy(product, &fresh).and_then(|_| fs::rename(&fresh, destination));
    placed.map_err(|error| format!("Cannot copy {} to {}: {error}", product.display(), destination.display()))
}

/// The library that binds the wasm must be of the very version that was compiled into it.
fn require_equal_versions(root: &Path) -> Outcome<()> {
    let lock =
        fs::read_to_string(root.join("Cargo.lock")).map_err(|error| format!("Cannot read Cargo.lock: {error}"))?;
    let (used, binding) = (locked_version(&lock, "wasm-bindgen"), locked_version(&lock, "wasm-bindgen-cli-support"));
    if used.is_some() && used == binding {
        return Ok(());
    }
    let (used, binding) = (used.unwrap_or("absent"), binding.unwrap_or("absent"));
    Err(format!(
        "Cargo.lock has wasm-bindgen {used} and wasm-bindgen-cli-support {binding}, which must be equal: set the version \
         in {SITE_TOOL}/Cargo.toml to \"={used}\" and run this again."
    ))
}

fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let heading = format!("name = \"{package}\"\nversion = \"");
    let (_, rest) = lock.split_once(&heading)?;
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locked_version_is_that_of_the_named_package_only() {
        let lock = "[[package]]\nname = \"wasm-bindgen-macro\"\nversion = \"9.9.9\"\n\n\
                    [[package]]\nname = \"wasm-bindgen\"\nversion = \"0.2.130\"\n";
        assert_eq!(locked_version(lock, "wasm-bindgen"), Some("0.2.130"));
        assert_eq!(locked_version(lock, "wasm-bindgen-cli-support"), None);
    }
}
