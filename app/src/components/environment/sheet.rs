//! What an environment holds and says: outputs, volumes, the values of its order.

use std::collections::BTreeMap;

use leptos::prelude::*;

use crate::api::{OutputView, VolumeView};
use crate::components::icon;
use crate::words::bytes;

/// Values to use the environment with; sensitive ones stay covered until asked for.
pub fn outputs(outputs: Vec<OutputView>) -> impl IntoView + use<> {
    view! { <dl class="pairs">{outputs.into_iter().map(output).collect::<Vec<_>>()}</dl> }
}

fn output(output: OutputView) -> impl IntoView {
    let copied = output.value.clone();
    let label = format!("Copy {}", output.title);
    let value = if output.sensitive {
        view! {
            <details class="secret">
                <summary>{icon("eye")}"Reveal"</summary>
                <code>{output.value}</code>
            </details>
        }
        .into_any()
    } else if output.value.starts_with("http://") || output.value.starts_with("https://") {
        let address = output.value.clone();
        view! { <a href=address target="_blank" rel="noopener noreferrer">{output.value}</a> }.into_any()
    } else {
        view! { <code>{output.value}</code> }.into_any()
    };
    view! {
        <div>
            <dt>{output.title}</dt>
            <dd class="pairs__copyable">
                {value}
                <button class="icon-button" type="button" data-copy=copied aria-label=label>{icon("copy")}</button>
            </dd>
        </div>
    }
}

pub fn volumes(volumes: Vec<VolumeView>) -> impl IntoView + use<> {
    view! {
        <ul class="facts" role="list">
            {volumes.into_iter().map(|volume| view! {
                <li>
                    {icon("hard-drive")}
                    <span class="facts__name">{volume.name}</span>
                    <span class="facts__more">{format!("{}, on {}", bytes(volume.size_bytes), volume.servers.join(", "))}</span>
                </li>
            }).collect::<Vec<_>>()}
        </ul>
    }
}

/// The values of the order; secrets arrive here as `***`.
pub fn parameters(parameters: BTreeMap<String, String>) -> impl IntoView + use<> {
    view! {
        <dl class="pairs pairs--small">
            {parameters.into_iter().map(|(name, value)| view! {
                <div><dt>{name}</dt><dd><code>{value}</code></dd></div>
            }).collect::<Vec<_>>()}
        </dl>
    }
}
