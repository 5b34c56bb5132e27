//! The site's files (script, style, wasm), held in memory as the build left them: compressed beside plain.
//!
//! Their names carry a hash of their content, so a browser may keep them for ever and never asks twice.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;

use app::site::SiteAssets;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use super::problem::problem;
use crate::auth::secret;

/// All files of the site. None at all is fine: pages work without script, only plainer.
#[derive(Clone, Default)]
pub struct Assets {
    files: Arc<HashMap<String, File>>,
    manifest: Arc<BTreeMap<String, String>>,
}

struct File {
    kind: HeaderValue,
    etag: HeaderValue,
    plain: Bytes,
    brotli: Option<Bytes>,
    gzip: Option<Bytes>,
}

impl Assets {
    /// Reads the folder as `cargo xtask build` leaves it.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub fn load(folder: &Path) -> io::Result<Assets> {
        let manifest = std::fs::read(folder.join("manifest.json"))?;
        let manifest: BTreeMap<String, String> = serde_json::from_slice(&manifest)?;
        let mut contents = BTreeMap::new();
        read_below(folder, "pkg", &mut contents)?;
        let compressed = |contents: &mut BTreeMap<String, Vec<u8>>, path: &str, ending: &str| {
            contents.remove(&format!("{path}.{ending}")).map(Bytes::from)
        };
        let paths: Vec<String> =
            contents.keys().filter(|path| !path.ends_with(".br") && !path.ends_with(".gz")).cloned().collect();
        let mut files = HashMap::new();
        for path in paths {
            let (brotli, gzip) = (compressed(&mut contents, &path, "br"), compressed(&mut contents, &path, "gz"));
            let Some(plain) = contents.remove(&path) else { continue };
            let etag = format!("\"{}\"", &secret::digest(&plain)[..16]);
            let etag = HeaderValue::try_from(etag).map_err(io::Error::other)?;
            files.insert(format!("/{path}"), File { kind: kind(&path), etag, plain: plain.into(), brotli, gzip });
        }
        Ok(Assets { files: Arc::new(files), manifest: Arc::new(manifest) })
    }

    /// For pages: where each file is.
    pub fn addresses(&self) -> SiteAssets {
        SiteAssets::new(self.manifest.iter().map(|(name, path)| (name.clone(), path.clone())))
    }

    pub fn router(&self) -> Router {
        let assets = self.clone();
        Router::new().route(
            "/pkg/{*file}",
            get(move |uri: Uri, headers: HeaderMap| async move { assets.answer(&uri, &headers) }),
        )
    }

    fn answer(&self, uri: &Uri, headers: &HeaderMap) -> Response {
        let Some(file) = self.files.get(uri.path()) else {
            return problem(StatusCode::NOT_FOUND, "There is no such file").into_response();
        };
        let unchanged = headers.get(IF_NONE_MATCH).is_some_and(|known| known == file.etag);
        let accepts = |encoding: &str| accepts(headers, encoding);
        let (body, encoding) = match (&file.brotli, &file.gzip) {
            _ if unchanged => (Bytes::new(), None),
            (Some(brotli), _) if accepts("br") => (brotli.clone(), Some("br")),
            (_, Some(gzip)) if accepts("gzip") => (gzip.clone(), Some("gzip")),
            _ => (file.plain.clone(), None),
        };
        let status = if unchanged { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        let mut response = (status, body).into_response();
        let answer = response.headers_mut();
        answer.insert(CONTENT_TYPE, file.kind.clone());
        answer.insert(ETAG, file.etag.clone());
        answer.insert(VARY, HeaderValue::from_static("accept-encoding"));
        answer.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        if let Some(encoding) = encoding {
            answer.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    }
}

fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|offer| {
        let (name, quality) = offer.split_once(';').unwrap_or((offer, ""));
        name.trim().eq_ignore_ascii_case(encoding) && !matches!(quality.trim(), "q=0" | "q=0.0")
    })
}

fn read_below(root: &Path, path: &str, contents: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(path))? {
        let entry = entry?;
        let name = format!("{path}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            read_below(root, &name, contents)?;
        } else {
            contents.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(())
}

fn kind(path: &str) -> HeaderValue {
    HeaderValue::from_static(match path.rsplit('.').next().unwrap_or_default() {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "webmanifest" => "application/manifest+json",
        "json" => "application/json",
        _ => "application/octet-stream",
    })
}
