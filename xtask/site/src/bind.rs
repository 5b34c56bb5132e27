//! From the compiler's wasm to the wasm and script a browser takes: what the `wasm-bindgen` program does, without having to
//! install one of the right version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wasm_bindgen_cli_support::Bindgen;

use crate::Outcome;

pub struct Bound {
    pub script: String,
    pub wasm: Vec<u8>,
    /// Scripts that crates bring, which `script` imports from `./snippets/`: path below that folder → text.
    pub snippets: BTreeMap<PathBuf, String>,
}

pub fn bind(wasm: &Path) -> Outcome<Bound> {
    let explained = |error: &dyn std::fmt::Display| format!("Cannot bind {}: {error}", wasm.display());
    let mut bindgen = Bindgen::new();
    bindgen.input_path(wasm).typescript(false).remove_name_section(true).remove_producers_section(true);
    // The page tells the script where the wasm is: its name has a hash the script cannot know.
    bindgen.omit_default_module_path(true);
    bindgen.web(true).map_err(|error| explained(&format!("{error:#}")))?;
    let mut output = bindgen.generate_output().map_err(|error| explained(&format!("{error:#}")))?;
    let inline = output.snippets().iter().flat_map(|(folder, scripts)| {
        let place =
            |(index, text): (usize, &String)| (Path::new(folder).join(format!("inline{index}.js")), text.clone());
        scripts.iter().enumerate().map(place)
    });
    let modules = output.local_modules().iter().map(|(path, text)| (PathBuf::from(path), text.clone()));
    Ok(Bound {
        snippets: inline.chain(modules).collect(),
        script: output.js().to_owned(),
        wasm: output.wasm_mut().emit_wasm(),
    })
}
