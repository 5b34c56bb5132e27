use std::collections::BTreeMap;

use leptos::prelude::*;

use super::connection::connection_note;
use crate::live;

/// The element that holds the lines; its first ones come with the page.
pub const LOG_LINES: &str = "log-lines";

/// Lines repeated at the start of the stream, so that none between page and stream is missed.
const REPEATED: &str = "500";

/// Appends new lines to the log on this page as they come, and keeps the newest in view while followed.
#[island]
pub fn LogFollower(
    /// Where the lines asked for are streamed from.
    address: String,
    /// What was searched for, to be marked.
    search: String,
    /// By server, the position of the newest line that the page already shows.
    shown: BTreeMap<String, String>,
) -> impl IntoView {
    let (following, set_following) = signal(true);
    let address = address + "&tail=" + REPEATED;
    #[cfg(feature = "hydrate")]
    let heard = appending::follow(following, set_following, shown, search);
    #[cfg(not(feature = "hydrate"))]
    let heard = {
        drop((shown, search));
        |_: Option<String>| ()
    };
    let connection = live::listen(address, heard);
    view! {
        <div class="log-tools">
            <label class="check">
                <input
                    type="checkbox"
                    prop:checked=move || following.get()
                    on:change=move |event| set_following.set(event_target_checked(&event))
                />
                "Follow new lines"
            </label>
            {connection_note(connection)}
        </div>
    }
}

#[cfg(feature = "hydrate")]
mod appending {
    use std::cell::{Cell, RefCell};
    use std::collections::{BTreeMap, VecDeque};
    use std::rc::Rc;

    use leptos::prelude::*;
    use leptos::tachys::view::{Mountable, Render};
    use wasm_bindgen::JsCast;
    use wasm_bindgen::closure::Closure;
    use web_sys::Element;

    use super::LOG_LINES;
    use crate::api::LogLine;
    use crate::components::log_line;
    use crate::words::is_after;

    /// Older lines leave the page; the portal keeps them.
    const KEPT: u32 = 2_000;

    /// Lines that one frame reads and draws. What came before them is counted and left out: on a machine that is too busy the
    /// page falls behind by lines, not by minutes.
    const DRAWN_AT_ONCE: usize = 200;

    /// What the stream's messages do: nothing but wait to be drawn together, once per frame.
    pub(super) fn follow(
        following: ReadSignal<bool>,
        set_following: WriteSignal<bool>,
        shown: BTreeMap<String, String>,
        search: String,
    ) -> impl Fn(Option<String>) + 'static {
        let search = Rc::<str>::from(search);
        let waiting = Rc::new(RefCell::new(Waiting { newest: shown, messages: VecDeque::new(), left_out: 0 }));
        let scheduled = Rc::new(Cell::new(false));
        let list = document().get_element_by_id(LOG_LINES);
        if let Some(list) = &list {
            to_the_end(list);
            stop_following_when_scrolled_back(list, set_following);
        }
        Effect::new({
            let list = list.clone();
            move |_| {
                if following.get()
                    && let Some(list) = &list
                {
                    to_the_end(list);
                }
            }
        });
        move |message| {
            let (Some(line), Some(list)) = (message, list.clone()) else { return };
            waiting.borrow_mut().add(line);
            if !scheduled.replace(true) {
                let (waiting, scheduled, search) = (waiting.clone(), scheduled.clone(), search.clone());
                request_animation_frame(move || {
                    scheduled.set(false);
                    let lines = waiting.borrow_mut().take();
                    append(&list, lines, following.get_untracked(), &search);
                });
            }
        }
    }

    /// Messages that no frame has drawn yet; a tab that nobody looks at draws none.
    struct Waiting {
        /// By server, the position of the last line that was drawn or left out.
        newest: BTreeMap<String, String>,
        messages: VecDeque<String>,
        left_out: u64,
    }

    impl Waiting {
        fn add(&mut self, message: String) {
            self.messages.push_back(message);
            if self.messages.len() > DRAWN_AT_ONCE
                && let Some(line) = self.next()
            {
                self.left_out += 1 + line.skipped;
            }
        }

        fn take(&mut self) -> Vec<LogLine> {
            let mut lines = Vec::with_capacity(self.messages.len());
            while !self.messages.is_empty() {
                lines.extend(self.next());
            }
            if let Some(first) = lines.first_mut() {
                first.skipped += std::mem::take(&mut self.left_out);
            }
            lines
        }

        /// The oldest of them; `None` when the page shows it already.
        fn next(&mut self) -> Option<LogLine> {
            let line: LogLine = serde_json::from_str(&self.messages.pop_front()?).ok()?;
            let last = self.newest.get(&line.server);
            if last.is_some_and(|last| !is_after(&line.position, last)) {
                return None;
            }
            self.newest.insert(line.server.clone(), line.position.clone());
            Some(line)
        }
    }

    fn append(list: &Element, lines: Vec<LogLine>, follow: bool, search: &str) {
        for line in lines {
            // What the view holds beyond its elements is not needed: a line never changes.
            let mut built = log_line(line, search).into_view().build();
            built.mount(list, None);
            std::mem::forget(built);
        }
        while list.child_element_count() > KEPT {
            list.first_element_child().inspect(Element::remove);
        }
        if follow {
            to_the_end(list);
        }
    }

    fn to_the_end(list: &Element) {
        list.set_scroll_top(list.scroll_height());
    }

    /// Who scrolls up wants to read; who comes back to the end wants to follow. A window that changes its size moves the
    /// lines too, and is nobody's wish.
    fn stop_following_when_scrolled_back(list: &Element, set_following: WriteSignal<bool>) {
        let scrolled = {
            let list = list.clone();
            let mut before = (list.scroll_top(), list.client_height(), list.client_width());
            Closure::<dyn FnMut()>::new(move || {
                let now = (list.scroll_top(), list.client_height(), list.client_width());
                let same_size = (now.1, now.2) == (before.1, before.2);
                if now.0 + now.1 + 24 >= list.scroll_height() {
                    set_following.set(true);
                } else if same_size && now.0 < before.0 {
                    set_following.set(false);
                }
                before = now;
            })
        };
        let _ = list.add_event_listener_with_callback("scroll", scrolled.as_ref().unchecked_ref());
        scrolled.forget();
    }
}
