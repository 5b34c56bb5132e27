//! Hearing of changes as they happen: the clock, the portal's event stream, and reading again.
//!
//! On the server all of this stands still: the clock shows the request's time and nothing is listened to.

use std::future::Future;

use leptos::prelude::*;

use crate::api::ApiError;

/// How the page stands with the portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// The first connection is being made.
    Opening,
    Live,
    /// Lost; it is tried again by itself.
    Lost,
}

/// The time as it passes: what the server said, carried on by the browser. Differences between the two clocks are no
/// matter, for only the time since then is added.
pub fn ticking(server_now: i64) -> Signal<i64> {
    let now = RwSignal::new(server_now);
    #[cfg(feature = "hydrate")]
    {
        let begun = js_sys::Date::now();
        let tick = move || now.set(server_now + (js_sys::Date::now() - begun) as i64);
        set_interval(tick, std::time::Duration::from_secs(5));
    }
    now.into()
}

/// Calls `act` again and again while the page is looked at.
pub fn every_few_seconds(act: impl Fn() + 'static) {
    #[cfg(feature = "hydrate")]
    set_interval(
        move || {
            if !document().hidden() {
                act();
            }
        },
        std::time::Duration::from_secs(5),
    );
    #[cfg(not(feature = "hydrate"))]
    drop(act);
}

/// Calls `heard` with the data of each message of an event stream, and with `None` when the stream was lost and is back
/// (something may have been missed). Reconnects by itself, for ever.
pub fn listen(address: String, heard: impl Fn(Option<String>) + 'static) -> ReadSignal<Connection> {
    let (connection, set_connection) = signal(Connection::Opening);
    #[cfg(feature = "hydrate")]
    stream::open(address, std::rc::Rc::new(heard), set_connection);
    #[cfg(not(feature = "hydrate"))]
    drop((address, heard, set_connection));
    connection
}

/// Reads something again on demand, never twice at once: a demand while reading is read once more afterwards.
pub fn rereading<T, Reading>(
    read: impl Fn() -> Reading + Clone + 'static,
    show: impl Fn(Result<T, ApiError>) + Clone + 'static,
) -> impl Fn() + Clone + 'static
where
    T: 'static,
    Reading: Future<Output = Result<T, ApiError>> + 'static,
{
    #[derive(Clone, Copy, PartialEq)]
    enum Standing {
        Idle,
        Reading,
        ReadingAndAskedAgain,
    }
    let standing = StoredValue::new(Standing::Idle);
    move || {
        if standing.get_value() != Standing::Idle {
            standing.set_value(Standing::ReadingAndAskedAgain);
            return;
        }
        standing.set_value(Standing::Reading);
        let (read, show) = (read.clone(), show.clone());
        leptos::task::spawn_local(async move {
            loop {
                show(read().await);
                if standing.get_value() != Standing::ReadingAndAskedAgain {
                    break standing.set_value(Standing::Idle);
                }
                standing.set_value(Standing::Reading);
            }
        });
    }
}

#[cfg(feature = "hydrate")]
mod stream {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use leptos::prelude::*;
    use wasm_bindgen::JsCast;
    use wasm_bindgen::closure::Closure;
    use web_sys::{EventSource, MessageEvent};

    use super::Connection;

    type Heard = Rc<dyn Fn(Option<String>)>;

    /// A browser retries by itself when a connection breaks, but gives up for good when the portal answers with an error,
    /// as a proxy does while the portal restarts. Then a new stream is opened.
    pub(super) fn open(address: String, heard: Heard, connection: WriteSignal<Connection>) {
        attempt(address, heard, connection, Rc::new(Cell::new(false)), 1);
    }

    fn attempt(address: String, heard: Heard, connection: WriteSignal<Connection>, lost: Rc<Cell<bool>>, tries: u32) {
        let Ok(source) = EventSource::new(&address) else { return };
        let opened = {
            let (heard, lost) = (heard.clone(), lost.clone());
            Closure::<dyn FnMut()>::new(move || {
                connection.set(Connection::Live);
                if lost.replace(false) {
                    heard(None);
                }
            })
        };
        let message = {
            let heard = heard.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| heard(event.data().as_string()))
        };
        let failed = {
            let source = source.clone();
            Closure::<dyn FnMut()>::new(move || {
                connection.set(Connection::Lost);
                lost.set(true);
                if source.ready_state() == EventSource::CLOSED {
                    source.set_onerror(None);
                    let (address, heard, lost) = (address.clone(), heard.clone(), lost.clone());
                    let wait = Duration::from_secs(u64::from(tries.min(6)));
                    set_timeout(move || attempt(address, heard, connection, lost, tries + 1), wait);
                }
            })
        };
        source.set_onopen(Some(opened.as_ref().unchecked_ref()));
        source.set_onmessage(Some(message.as_ref().unchecked_ref()));
        source.set_onerror(Some(failed.as_ref().unchecked_ref()));
        // The stream lives as long as the page; so do its listeners.
        opened.forget();
        message.forget();
        failed.forget();
    }
}
