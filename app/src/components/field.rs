use leptos::prelude::*;

use super::icon;

/// A labelled control with its help, and what is wrong with its value. The control's id is `id`; where there is help or an
/// error its `aria-describedby` should be `{id}-note`.
pub fn field<V: IntoView>(
    id: &str,
    label: &str,
    help: Option<&str>,
    wrong: Option<String>,
    control: V,
) -> impl IntoView + use<V> {
    let note = format!("{id}-note");
    let (id, label) = (id.to_string(), label.to_string());
    let help = help.map(str::to_string);
    let is_wrong = wrong.is_some().then_some("");
    view! {
        <div class="field" data-wrong=is_wrong>
            <label class="field__label" for=id dir="auto">{label}</label>
            {control}
            <div id=note class="field__notes">
                {wrong.map(|wrong| view! { <p class="field__wrong">{icon("triangle-alert")}{wrong}</p> })}
                {help.map(|help| view! { <p class="field__help" dir="auto">{help}</p> })}
            </div>
        </div>
    }
}

/// What stands in a `<textarea>`. Leptos writes that as it is, where markup would end the field; and a browser drops a line
/// end at its beginning.
pub fn within_textarea(text: &str) -> String {
    format!("\n{}", text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack 14: stored text that would end its field. Fails when Leptos begins to escape it too.
    #[test]
    fn text_in_a_textarea_stays_in_it_as_it_was_written() {
        let shown =
            view! { <textarea name="x">{within_textarea("\n</textarea><img src=x> &lt; \"")}</textarea> }.to_html();
        assert!(shown.contains(">\n\n&lt;/textarea&gt;&lt;img src=x&gt; &amp;lt; \"</textarea>"), "{shown}");
    }
}
