//! What happens while no portal can be reached: everything goes on, nothing is parked, and what programs wrote is brought to the
//! disks again and again, so that whatever becomes of the machine meanwhile costs as little as possible.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::Server;

/// A portal that is away for so long does not merely restart.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);
const EVERY: Duration = Duration::from_secs(30);

/// Follows the link for as long as the server lives.
pub(super) async fn keep_safe(server: Arc<Server>, mut linked: watch::Receiver<bool>, patience: Duration) {
    loop {
        let back = tokio::select! {
            back = linked.wait_for(|linked| *linked) => Some(back.map(drop)),
            () = sleep(patience) => None,
        };
        let told = match back {
            Some(Err(_)) => return,
            Some(Ok(())) => false,
            None => {
                let minutes = patience.as_secs_f32() / 60.0;
                server.logs.say(&format!(
                    "no portal could be reached for {minutes:.1} min. Everything goes on; what volumes hold is brought to \
                     their disks every {} s until there is one",
                    EVERY.as_secs()
                ));
                while !*linked.borrow_and_update() {
                    server.frost.thawed().await;
                    let places = server.measured.borrow().clone();
                    // A disk that takes long keeps nobody else waiting.
                    let synced = tokio::task::spawn_blocking(move || sync(&places)).await;
                    for trouble in synced.into_iter().flatten() {
                        server.logs.say(&trouble);
                    }
                    tokio::select! {
                        changed = linked.changed() => if changed.is_err() { return },
                        () = sleep(EVERY) => {}
                    }
                }
                true
            }
        };
        if told {
            server.logs.say("the portal can be reached again");
        }
        if linked.wait_for(|linked| !*linked).await.is_err() {
            return;
        }
    }
}

/// What could not be brought to its disk, in words.
fn sync(places: &[PathBuf]) -> Vec<String> {
    let synced = |place: &PathBuf| {
        let done = std::fs::File::open(place).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
        done.err().map(|error| format!("what {} holds cannot be brought to its disk: {error}", place.display()))
    };
    places.iter().filter(|place| place.exists()).filter_map(synced).collect()
}
