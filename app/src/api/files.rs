//! Files: what volumes hold, now or in a snapshot.
//!
//! A file's name is bytes. Where a path is text, its parts are separated by `/`, and what is not UTF-8 in it, every control
//! character and every `%` stand as `%` and two hex digits ([`path_text`], [`path_bytes`]).

use serde::{Deserialize, Serialize};

/// A place in a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePlace {
    /// Name of the volume.
    pub volume: String,
    /// Id of a snapshot, or `latest`; the volume as it is now when absent.
    pub snapshot: Option<String>,
    /// As text; the volume itself when empty.
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    File,
    Folder,
    /// A symbolic one. It is shown, never followed.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct FileView {
    /// For people: what is not UTF-8 and control characters are replaced.
    pub name: String,
    /// From the volume's root, as requests take it.
    pub path: String,
    pub kind: FileKind,
    /// In bytes.
    pub size: u64,
    /// Unix milliseconds.
    pub modified_at: i64,
    /// Permission bits.
    pub mode: u32,
    /// Where a link leads.
    pub target: Option<String>,
}

/// A page of a folder's names, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
pub struct FileListing {
    pub volume: String,
    /// Id of the snapshot; absent: as it is now.
    pub snapshot: Option<String>,
    pub path: String,
    pub entries: Vec<FileView>,
    /// There is more: ask with this as `after`.
    pub next: Option<String>,
}

/// How a file is to be put into a volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upload {
    /// Instead of the file of that name, if there is one.
    pub replace: bool,
    pub executable: bool,
}

/// Brings a file or folder back from a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ssr", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FileRestore {
    /// Id of a snapshot; the newest that is complete when absent.
    #[serde(default)]
    pub snapshot: Option<String>,
    #[serde(default)]
    pub path: String,
    /// Where it goes in the volume. When absent: where it was, or beside that under a name that says when it is from.
    #[serde(default)]
    pub to: Option<String>,
    /// Instead of what is there now. Otherwise it goes where nothing is.
    #[serde(default)]
    pub in_place: bool,
}

/// A path as text.
pub fn path_text(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    let code = |text: &mut String, byte: u8| {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        text.extend(['%', HEX[usize::from(byte >> 4)] as char, HEX[usize::from(byte & 15)] as char]);
    };
    for chunk in path.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '%' || character.is_control() {
                let mut bytes = [0; 4];
                character.encode_utf8(&mut bytes).bytes().for_each(|byte| code(&mut text, byte));
            } else {
                text.push(character);
            }
        }
        chunk.invalid().iter().for_each(|byte| code(&mut text, *byte));
    }
    text
}

/// The bytes of a path. A `%` without two hex digits is itself.
pub fn path_bytes(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16)).map(|digit| digit as u8);
    let text = text.as_bytes();
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(text.get(at + 1)), digit(text.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high << 4 | low);
                at += 3;
            }
            (byte, ..) => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    bytes
}

/// A name for people.
pub fn shown_name(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// The folder a path is in; empty for what is in the volume's root.
pub fn folder_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(&[], |at| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_text_and_comes_back_as_it_was() {
        for (bytes, text) in [
            (&b"a/b c"[..], "a/b c"),
            ("größe/日".as_bytes(), "größe/日"),
            (b"100%", "100%25"),
            (b"new\nline", "new%0Aline"),
            (b"not \xff text", "not %FF text"),
            (b"%41", "%2541"),
        ] {
            assert_eq!(path_text(bytes), text);
            assert_eq!(path_bytes(text), bytes);
        }
        assert_eq!(path_bytes("100%"), b"100%");
        assert_eq!(path_bytes("5%é"), "5%é".as_bytes());
        assert_eq!(shown_name(b"a\nb\xff"), "a\u{fffd}b\u{fffd}");
    }
}
