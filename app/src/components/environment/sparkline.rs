use std::fmt::Write;

use leptos::prelude::*;

/// The shape of a few values over time, the oldest first; what they are is said in words beside it. Nothing when there are
/// none; a single one is a level line, so that nothing moves when the second comes. Drawn as text, for it holds numbers alone: views of shapes would weigh more than all the rest of it.
/// `least` is as high as a line must come to fill the height: next to nothing shall not look like mountains.
pub fn sparkline(values: &[u64], least: u64) -> Option<impl IntoView + use<>> {
    let values = match values {
        [] => return None,
        [only] => &[*only, *only],
        more => more,
    };
    // What never was anything lies on the ground; the highest stays below the edge.
    let top = values.iter().copied().max().unwrap_or_default().max(least);
    let mut points = String::new();
    for (number, value) in values.iter().enumerate() {
        let (x, y) = (number * 100 / (values.len() - 1), 22 - value.saturating_mul(20) / top);
        let _ = write!(points, "{x},{y} ");
    }
    let shapes = format!(r#"<polygon points="0,24 {points}100,24"/><polyline points="{points}"/>"#);
    Some(view! {
        <svg class="sparkline" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true" inner_html=shapes></svg>
    })
}
