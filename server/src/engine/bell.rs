//! How the parts of a portal tell each other that something has changed. A ring carries no truth: whoever hears it reads.

use std::sync::Arc;

use app::api::LiveEvent;
use tokio::sync::{Notify, broadcast};

/// Events a page may be behind before it reads everything again.
const BEHIND: usize = 4096;

/// Cheap to clone.
#[derive(Clone)]
pub struct Bell {
    engine: Arc<Notify>,
    live: broadcast::Sender<LiveEvent>,
}

impl Default for Bell {
    fn default() -> Self {
        Bell { engine: Arc::new(Notify::new()), live: broadcast::channel(BEHIND).0 }
    }
}

impl Bell {
    /// Something about this environment was committed: the engine looks, and so do those who watch.
    pub fn ring(&self, environment: &str) {
        self.engine.notify_one();
        self.tell(environment);
    }

    /// Something about this environment was committed that the engine knows already.
    pub fn tell(&self, environment: &str) {
        self.announce(LiveEvent::Environment { id: environment.to_owned() });
    }

    pub fn announce(&self, event: LiveEvent) {
        // Nobody may be listening.
        let _ = self.live.send(event);
    }

    pub fn subscribe(&self) -> broadcast::Receiver<LiveEvent> {
        self.live.subscribe()
    }

    /// Returns when it was rung since the last call.
    pub(super) async fn rung(&self) {
        self.engine.notified().await;
    }

    pub(super) fn wake(&self) {
        self.engine.notify_one();
    }
}
