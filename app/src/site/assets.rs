//! Where the built files of the site are: script, style, wasm, each under a name with its content's hash.

use std::collections::BTreeMap;

/// Logical name → address. The build writes the hashed names into a manifest; a name it does not list is served as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteAssets {
    hashed: BTreeMap<String, String>,
}

impl SiteAssets {
    /// From the manifest's entries: both sides are paths below the site's root, such as `pkg/app.js` → `pkg/app.3f2a.js`.
    pub fn new(entries: impl IntoIterator<Item = (String, String)>) -> Self {
        let absolute = |path: String| format!("/{}", path.trim_start_matches('/'));
        Self { hashed: entries.into_iter().map(|(name, path)| (absolute(name), absolute(path))).collect() }
    }

    /// The address of a file below `/pkg/`.
    pub fn address(&self, file: &str) -> String {
        let name = format!("/pkg/{file}");
        self.hashed.get(&name).cloned().unwrap_or(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_file_is_served_under_its_hashed_name_and_any_other_as_it_is() {
        let assets = SiteAssets::new([("pkg/app.js".to_string(), "pkg/app.3f2a.js".to_string())]);
        assert_eq!(assets.address("app.js"), "/pkg/app.3f2a.js");
        assert_eq!(assets.address("boot.js"), "/pkg/boot.js");
    }
}
