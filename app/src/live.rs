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

/// The time as it passes, every so many seconds: what the server said, carried on by the browser. Differences between the two clocks are no
/// matter, for only the time since then is added.
pub fn ticking(server_now: i64, seconds: u64) -> Signal<i64> {
    let now = RwSignal::new(server_now);
    #[cfg(feature = "hydrate")]
    {
        let begun = js_sys::Date::now();
        let tick = move || now.set(server_now + (js_sys::Date::now() - begun) as i64);
        set_interval(tick, std::time::Duration::from_secs(seconds));
    }
    #[cfg(not(feature = "hydrate"))]
    let _ = seconds;
    now.into()
}

/// The page's address has become this one: the address bar follows, and nothing is loaded.
pub fn called_now(path: &str) {
    #[cfg(feature = "hydrate")]
    if let (Ok(history), Ok(query)) = (window().history(), window().location().search()) {
        let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(&(path.to_owned() + &query)));
    }
    #[cfg(not(feature = "hydrate"))]
    let _ = path;
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
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;
    use std::time::Duration;

    use leptos::prelude::*;
    use wasm_bindgen::JsCast;
    use wasm_bindgen::closure::Closure;
    use web_sys::{EventSource, MessageEvent};

    use super::Connection;

    /// A tab nobody looks at gives its connection back: a browser has only six of them for all tabs of a site together.
    const UNSEEN: Duration = Duration::from_secs(60);

    /// An event stream for as long as the page lives.
    struct Stream {
        address: String,
        heard: Rc<dyn Fn(Option<String>)>,
        connection: WriteSignal<Connection>,
        source: RefCell<Option<EventSource>>,
        /// Something may have been missed since the last connection.
        missed: Cell<bool>,
        failures: Cell<u32>,
    }

    pub(super) fn open(address: String, heard: Rc<dyn Fn(Option<String>)>, connection: WriteSignal<Connection>) {
        let stream = Rc::new(Stream {
            address,
            heard,
            connection,
            source: RefCell::default(),
            missed: Cell::new(false),
            failures: Cell::new(0),
        });
        connect(&stream);
        let seen_or_not = Closure::<dyn FnMut()>::new(move || {
            if !document().hidden() {
                connect(&stream);
                return;
            }
            let stream = stream.clone();
            set_timeout(move || disconnect_unseen(&stream), UNSEEN);
        });
        let _ = document().add_event_listener_with_callback("visibilitychange", seen_or_not.as_ref().unchecked_ref());
        seen_or_not.forget();
    }

    fn disconnect_unseen(stream: &Stream) {
        if document().hidden()
            && let Some(source) = stream.source.take()
        {
            source.close();
            stream.missed.set(true);
        }
    }

    fn connect(stream: &Rc<Stream>) {
        if stream.source.borrow().is_some() {
            return;
        }
        let Ok(source) = EventSource::new(&stream.address) else { return };
        let opened = {
            let stream = stream.clone();
            Closure::<dyn FnMut()>::new(move || {
                stream.failures.set(0);
                stream.connection.set(Connection::Live);
                if stream.missed.replace(false) {
                    (stream.heard)(None);
                }
            })
        };
        let message = {
            let stream = stream.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| (stream.heard)(event.data().as_string()))
        };
        let failed = {
            let (stream, source) = (stream.clone(), source.clone());
            Closure::<dyn FnMut()>::new(move || broken(&stream, &source))
        };
        source.set_onopen(Some(opened.as_ref().unchecked_ref()));
        source.set_onmessage(Some(message.as_ref().unchecked_ref()));
        source.set_onerror(Some(failed.as_ref().unchecked_ref()));
        opened.forget();
        message.forget();
        failed.forget();
        stream.source.replace(Some(source));
    }

    /// A browser retries by itself when a connection breaks, but gives up for good when it is answered with an error, as by
    /// a proxy while the portal restarts, or when the session has ended. Reading again finds out which.
    fn broken(stream: &Rc<Stream>, source: &EventSource) {
        stream.connection.set(Connection::Lost);
        stream.missed.set(true);
        if source.ready_state() != EventSource::CLOSED {
            return;
        }
        source.set_onerror(None);
        stream.source.take();
        (stream.heard)(None);
        stream.failures.set(stream.failures.get() + 1);
        let wait = Duration::from_secs(u64::from(stream.failures.get().min(6)));
        let stream = stream.clone();
        set_timeout(move || connect(&stream), wait);
    }
}
