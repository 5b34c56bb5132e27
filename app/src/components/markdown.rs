//! Long descriptions: Markdown from template authors, rendered so that it can do no harm.

use leptos::prelude::*;
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

/// Text, lists, tables, code and links. Raw HTML is dropped, images become their description, and a link goes to
/// http, https or a path of this site, or it is no link.
pub fn markdown(source: &str) -> impl IntoView + use<> {
    view! { <div class="prose" inner_html=harmless_html(source)></div> }
}

/// The same as text.
pub fn harmless_html(source: &str) -> String {
    let events =
        Parser::new_ext(source, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH).filter_map(
            |event| match event {
                Event::Html(_) | Event::InlineHtml(_) => None,
                Event::Start(Tag::HtmlBlock | Tag::Image { .. }) | Event::End(TagEnd::HtmlBlock | TagEnd::Image) => {
                    None
                }
                Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                    let dest_url = if is_harmless(&dest_url) { dest_url } else { CowStr::Borrowed("#") };
                    Some(Event::Start(Tag::Link { link_type, dest_url, title, id }))
                }
                // The page has its own h1 and h2.
                Event::Start(Tag::Heading { level, id, classes, attrs }) => {
                    Some(Event::Start(Tag::Heading { level: lower(level), id, classes, attrs }))
                }
                Event::End(TagEnd::Heading(level)) => Some(Event::End(TagEnd::Heading(lower(level)))),
                other => Some(other),
            },
        );
    let mut rendered = String::with_capacity(source.len() * 2);
    html::push_html(&mut rendered, events);
    rendered
}

fn lower(level: pulldown_cmark::HeadingLevel) -> pulldown_cmark::HeadingLevel {
    use pulldown_cmark::HeadingLevel::*;
    match level {
        H1 => H3,
        H2 => H4,
        H3 => H5,
        _ => H6,
    }
}

fn is_harmless(address: &str) -> bool {
    let lower = address.to_ascii_lowercase();
    let on_the_web = lower.starts_with("https://") || lower.starts_with("http://");
    let on_this_site = address.starts_with('#') || (address.starts_with('/') && !address.starts_with("//"));
    (on_the_web || on_this_site) && address.bytes().all(|byte| byte > b' ' && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::harmless_html;

    #[test]
    fn descriptions_keep_their_shape() {
        let shown = harmless_html("# Title\n\nSome *text* with [a link](https://example.org/a?b=c).\n\n- one\n- two");
        assert_eq!(
            shown,
            "<h3>Title</h3>\n<p>Some <em>text</em> with <a href=\"https://example.org/a?b=c\">a link</a>.</p>\n<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n"
        );
    }

    /// Attack 14, in a template's description.
    #[test]
    fn markup_and_scripts_in_a_description_stay_harmless() {
        let tricks = [
            "<script>alert(1)</script>",
            "text <img src=x onerror=alert(1)> text",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](data:text/html,<script>alert(1)</script>)",
            "[x](//evil.example)",
            "![x](https://evil.example/pixel.png)",
            "<https://evil.example/\"onmouseover=\"alert(1)>",
            "[x](java&#115;cript:alert(1))",
            "<div\nonclick=alert(1)>\n\nx</div>",
        ];
        for trick in tricks {
            let shown = harmless_html(trick).to_ascii_lowercase();
            for danger in
                ["<script", "<img", "<div", "javascript:", "data:", "href=\"//", "href=\"https://evil.example/\""]
            {
                assert!(!shown.contains(danger), "{trick} became {shown}");
            }
        }
    }
}
