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
    let mut script = output.js().to_owned();
    shorten(output.wasm_mut().imports.iter_mut().map(|import| &mut import.name), &mut script);
    let inline = output.snippets().iter().flat_map(|(folder, scripts)| {
        let place =
            |(index, text): (usize, &String)| (Path::new(folder).join(format!("inline{index}.js")), text.clone());
        scripts.iter().enumerate().map(place)
    });
    let modules = output.local_modules().iter().map(|(path, text)| (PathBuf::from(path), text.clone()));
    Ok(Bound { snippets: inline.chain(modules).collect(), script, wasm: output.wasm_mut().emit_wasm() })
}

/// Gives what the wasm imports from the script short names on both sides. The hashes they come with keep apart what several
/// wasm modules might import; there is one, and hashes cannot be compressed.
fn shorten<'a>(imports: impl Iterator<Item = &'a mut String>, script: &mut String) {
    for (number, import) in imports.enumerate() {
        let hash = import.rsplit_once('_').map_or("", |(_, hash)| hash);
        let definition = format!("{import}: function");
        if hash.len() == 16 && script.contains(&definition) {
            *import = format!("i{number}");
            *script = script.replace(&definition, &format!("{import}: function"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_with_a_hash_are_renamed_in_wasm_and_script_alike() {
        let mut imports = ["__wbg_abort_f8d1589eb0c65ee2", "__wbindgen_init_externref_table"].map(String::from);
        let mut script = "{\n        __wbg_abort_f8d1589eb0c65ee2: function(a) {},\n        \
                          __wbindgen_init_externref_table: function() {}\n}"
            .to_owned();
        shorten(imports.iter_mut(), &mut script);
        assert_eq!(imports, ["i0", "__wbindgen_init_externref_table"]);
        assert_eq!(script, "{\n        i0: function(a) {},\n        __wbindgen_init_externref_table: function() {}\n}");
    }
}
