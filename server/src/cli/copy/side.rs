//! What stands on either side of `cp`.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::cli::failure::Failure;
use crate::cli::output::clean;

#[derive(Debug, PartialEq, Eq)]
pub enum Side {
    /// Standard input or output.
    Standard,
    Here(PathBuf),
    Volume(Place),
}

/// A place in a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub environment: String,
    pub snapshot: Option<String>,
    pub volume: String,
    /// Bytes, as names are.
    pub path: Vec<u8>,
}

impl Side {
    /// What has a `/` before its first `:`, or no `:`, is a path here: `./a:b`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &OsStr) -> Result<Side, Failure> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err(Failure::usage("an empty name names no file"));
        }
        if bytes == b"-" {
            return Ok(Side::Standard);
        }
        let here = || Side::Here(PathBuf::from(text));
        let Some(colon) = bytes.iter().position(|byte| *byte == b':') else { return Ok(here()) };
        let (place, rest) = (&bytes[..colon], &bytes[colon + 1..]);
        if place.is_empty() || place.contains(&b'/') {
            return Ok(here());
        }
        let wrong = || {
            Failure::usage(format!("“{}” is no place in a volume", clean(&text.to_string_lossy())))
                .detail("Write it as ENV:VOLUME/PATH or ENV@SNAPSHOT:VOLUME/PATH; a file here as ./NAME.")
        };
        let place = std::str::from_utf8(place).map_err(|_| wrong())?;
        let (environment, snapshot) = match place.split_once('@') {
            Some((environment, snapshot)) => (environment, Some(snapshot.to_owned())),
            None => (place, None),
        };
        let volume = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
        let path = rest.get(volume.len() + 1..).unwrap_or_default();
        let path = path.iter().skip_while(|byte| **byte == b'/').copied().collect();
        let volume = std::str::from_utf8(volume).map_err(|_| wrong())?.to_owned();
        if environment.is_empty() || volume.is_empty() || snapshot.as_deref() == Some("") {
            return Err(wrong());
        }
        Ok(Side::Volume(Place { environment: environment.to_owned(), snapshot, volume, path }))
    }
}

impl Place {
    /// What it is called when it comes here.
    pub fn name(&self) -> OsString {
        let name = self.path.split(|byte| *byte == b'/').rfind(|part| !part.is_empty());
        OsString::from_vec(name.map_or_else(|| self.volume.clone().into_bytes(), <[u8]>::to_vec))
    }

    /// The path of a name in this folder.
    pub fn below(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path.clone();
        if !path.is_empty() && !path.ends_with(b"/") {
            path.push(b'/');
        }
        path.extend(name);
        path
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot.as_ref().map(|snapshot| format!("@{snapshot}")).unwrap_or_default();
        let path = clean(&String::from_utf8_lossy(&self.path));
        write!(f, "{}{snapshot}:{}/{path}", self.environment, self.volume)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_in_a_volume_when_it_says_so_and_here_otherwise() {
        let of = |text: &str| Side::parse(OsStr::new(text)).map_err(|failure| failure.exit);
        let place = |snapshot: Option<&str>, path: &str| {
            Ok(Side::Volume(Place {
                environment: "shop".into(),
                snapshot: snapshot.map(str::to_owned),
                volume: "data".into(),
                path: path.as_bytes().to_vec(),
            }))
        };
        assert_eq!(of("shop:data/a/b.txt"), place(None, "a/b.txt"));
        assert_eq!(of("shop:data"), place(None, ""));
        assert_eq!(of("shop:data//a/"), place(None, "a/"));
        assert_eq!(of("shop@latest:data/a:b"), place(Some("latest"), "a:b"));
        assert_eq!(of("-"), Ok(Side::Standard));
        for here in ["a", "./shop:data", "/tmp/a:b", ":a", "a/b"] {
            assert_eq!(of(here), Ok(Side::Here(PathBuf::from(here))), "{here}");
        }
        for wrong in ["shop:", "shop@:data", "@latest:data/x"] {
            assert_eq!(of(wrong), Err(2), "{wrong}");
        }
    }

    #[test]
    fn a_place_has_a_name_here() {
        let place =
            |path: &[u8]| Place { environment: "e".into(), snapshot: None, volume: "data".into(), path: path.to_vec() };
        assert_eq!(place(b"a/\xff/").name().as_bytes(), b"\xff");
        assert_eq!(place(b"").name(), "data");
        assert_eq!(place(b"a").below(b"b"), b"a/b");
        assert_eq!(place(b"").below(b"b"), b"b");
    }
}
