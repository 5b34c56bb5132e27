use leptos::prelude::*;

/// Words an environment is found by; each leads to the others that have it.
pub fn tags(tags: Vec<String>) -> impl IntoView {
    (!tags.is_empty()).then(|| {
        view! {
            <ul class="tags" role="list" aria-label="Tags">
                {tags.into_iter().map(|tag| {
                    let address = format!("/environments?of=everyone&search={tag}");
                    view! { <li><a class="tag" dir="auto" href=address>{tag}</a></li> }
                }).collect::<Vec<_>>()}
            </ul>
        }
    })
}
