//! What an environment holds and says: outputs, volumes, the values of its order.

use std::collections::BTreeMap;

use leptos::either::EitherOf3;
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
        EitherOf3::A(view! {
            <details class="secret">
                <summary>{icon("eye")}"Reveal"</summary>
                <code>{output.value}</code>
            </details>
        })
    } else if output.value.starts_with("http://") || output.value.starts_with("https://") {
        let address = output.value.clone();
        EitherOf3::B(view! { <a href=address target="_blank" rel="noopener noreferrer">{output.value}</a> })
    } else {
        EitherOf3::C(view! { <code>{output.value}</code> })
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
                    {volume.standing.map(|standing| view! { <span class="facts__detail">{standing}</span> })}
                </li>
            }).collect::<Vec<_>>()}
        </ul>
    }
}

/// The values of the order; secrets arrive here as `***`.
pub fn parameters(parameters: BTreeMap<String, String>) -> impl IntoView + use<> {
    view! {
        <dl class="pairs pairs--small">
            {parameters.into_iter().map(|(name, value)| pair(name, value)).collect::<Vec<_>>()}
        </dl>
    }
}

/// A line of a `pairs` list whose value is a machine's word.
pub fn pair(name: String, value: String) -> impl IntoView {
    view! { <div><dt>{name}</dt><dd><code>{value}</code></dd></div> }
}
