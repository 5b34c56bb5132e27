//! An environment's private network, that is its holder: made, found, removed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use holder::{Bind, World};

use super::disk::{self, Trash};
use super::error::{LocalError, Result};
use super::holder::{self as client, Roster};
use super::layout::{EnvironmentLayout, Layout, inside};
use super::tools::Tools;

/// Makes sure that the environment has a holder.
pub fn create(layout: &Layout, environment: &EnvironmentLayout, tools: &Tools) -> Result<Roster> {
    disk::make_directory(environment.root())?;
    disk::make_directory_for(&environment.holder(), tools.owner)?;
    disk::make_directory(&environment.link())?;
    disk::make_directory(&environment.volumes())?;
    disk::make_directory(&environment.servers())?;
    for _ in 0..5000 {
        if let Some(roster) = client::list(environment)? {
            return Ok(roster);
        }
        match client::try_lock(environment)? {
            Some(lock) => client::start(&tools.agent(layout), &world(layout, environment, tools)?, lock)?,
            // One is starting, asked for by a portal that is no more, or one is ending.
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
    Err(LocalError::Later("The environment's holder neither serves nor ends.".to_owned()))
}

/// Ends the holder, with every server, and removes everything of the environment but its volumes.
pub fn delete(environment: &EnvironmentLayout, trash: &Trash) -> Result<()> {
    if !environment.root().exists() {
        return Ok(());
    }
    // Held until the end: no holder can start in a directory that is going away.
    let lock = client::end(environment)?;
    for directory in [environment.servers(), environment.holder(), environment.link()] {
        trash.take(&directory)?;
    }
    if !environment.volumes().exists() || disk::remove_if_empty(&environment.volumes())? {
        trash.take(environment.root())?;
    } else {
        disk::remove_file(&environment.lock())?;
    }
    drop(lock);
    Ok(())
}

/// The holder's surroundings: the system, read-only, and this environment.
fn world(layout: &Layout, environment: &EnvironmentLayout, tools: &Tools) -> Result<World> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let bind = |from: &Path, to: &str, writable| Bind { from: text(from), to: to.to_owned(), writable };
    let mut binds = vec![
        bind(&layout.agents(), inside::AGENT, false),
        bind(&layout.images(), inside::IMAGES, false),
        bind(environment.root(), inside::ENVIRONMENT, true),
        bind(&tools.bubblewrap, inside::BUBBLEWRAP, false),
        bind(&layout.images().join(&tools.host.image).join("etc"), "/etc", false),
    ];
    // Outlets ask the machine's own resolver; servers have another file of that name.
    let resolver = Path::new("/etc/resolv.conf");
    if tools.outlet.is_some() && resolver.is_file() {
        binds.push(bind(resolver, &text(resolver), false));
    }
    for device in ["null", "zero", "full", "random", "urandom", "tty", "net/tun"] {
        let path = Path::new("/dev").join(device);
        if path.exists() {
            binds.push(bind(&path, &text(&path), true));
        }
    }
    let mut links = BTreeMap::new();
    for directory in ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let path = Path::new("/").join(directory);
        match std::fs::read_link(&path) {
            Ok(target) => drop(links.insert(text(&path), text(&target))),
            Err(_) if path.is_dir() => binds.push(bind(&path, &text(&path), false)),
            Err(_) => {}
        }
    }
    let socket = format!("{}/holder/holder.sock", inside::ENVIRONMENT);
    Ok(World { incarnation: disk::unique_name()?, user: tools.owner, binds, links, socket })
}
