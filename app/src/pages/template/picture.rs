//! The picture of a template: its servers, what they need, their ports and volumes. Drawn from [`layout`](super::layout).

use leptos::prelude::*;

use super::layout::{Drawing, Kind, Line, Part, describe, draw};
use crate::api::{TemplateServer, TemplateVolume};

/// Wider than this it scrolls sideways on a phone of 390 pixels.
const NARROW: i32 = 332;

/// Nothing for a single server: its name is picture enough.
pub(super) fn picture(servers: &[TemplateServer], volumes: &[TemplateVolume]) -> Option<impl IntoView + use<>> {
    (servers.len() + volumes.len() > 1).then(|| {
        let Drawing { width, height, parts, lines } = draw(servers, volumes);
        let words = describe(servers, volumes);
        let scrolls = width > NARROW;
        let legend = [(Kind::Server, "needs"), (Kind::Volume, "keeps its data on")];
        let has = |kind| lines.iter().any(|line| line.to_kind == kind);
        let legend: Vec<_> = legend.into_iter().filter(|(kind, _)| has(*kind)).collect();
        view! {
            <section aria-labelledby="together">
                <h2 id="together">"How it fits together"</h2>
                <figure class="topology">
                    <div
                        class="topology__sheet" tabindex=scrolls.then_some("0") role=scrolls.then_some("group")
                        aria-label=scrolls.then_some("Picture of the servers and volumes; it scrolls sideways")
                    >
                        <svg
                            role="img" aria-labelledby="topology-title" aria-describedby="topology-words"
                            width=width height=height viewBox=format!("0 0 {width} {height}")
                        >
                            <title id="topology-title">"Servers and volumes, and what needs what"</title>
                            <desc id="topology-words">{words}</desc>
                            <defs>
                                <marker id="topology-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">
                                    <path class="topology__arrow" d="M0 0.5 7.5 4 0 7.5Z"></path>
                                </marker>
                            </defs>
                            {lines.into_iter().map(line).collect::<Vec<_>>()}
                            {parts.into_iter().map(part).collect::<Vec<_>>()}
                        </svg>
                    </div>
                    <figcaption class="topology__legend" aria-hidden="true">
                        {legend.into_iter().map(|(kind, label)| view! {
                            <span>
                                <svg width="28" height="8" viewBox="0 0 28 8"><path class="topology__line" data-to=word(kind) d="M0 4H28"></path></svg>
                                {label}
                            </span>
                        }).collect::<Vec<_>>()}
                    </figcaption>
                </figure>
            </section>
        }
    })
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Server => "server",
        Kind::Volume => "volume",
    }
}

fn line(line: Line) -> impl IntoView {
    let ((x1, y1), (x2, y2)) = (line.from, line.to);
    let bend = (y2 - y1) / 2;
    let path = format!("M{x1} {y1}C{x1} {} {x2} {} {x2} {y2}", y1 + bend, y2 - bend);
    let arrow = (line.to_kind == Kind::Server).then_some("url(#topology-arrow)");
    view! { <path class="topology__line" data-to=word(line.to_kind) d=path marker-end=arrow></path> }
}

fn part(part: Part) -> impl IntoView {
    let Part { kind, title, notes, is_many, x, y, width, height } = part;
    let radius = if kind == Kind::Volume { height / 2 } else { 10 };
    let inset = if kind == Kind::Volume { 22 } else { 14 };
    let behind = is_many.then(|| {
        view! { <rect class="topology__part" data-kind="server" x=x + 5 y=y - 5 width=width height=height rx=radius></rect> }
    });
    let notes = notes.into_iter().enumerate().map(|(number, note)| {
        let baseline = y + 42 + 18 * i32::try_from(number).unwrap_or_default();
        view! { <text class="topology__note" x=x + inset y=baseline>{note}</text> }
    });
    view! {
        <g>
            {behind}
            <rect class="topology__part" data-kind=word(kind) x=x y=y width=width height=height rx=radius></rect>
            <text class="topology__title" x=x + inset y=y + 25>{title}</text>
            {notes.collect::<Vec<_>>()}
        </g>
    }
}
