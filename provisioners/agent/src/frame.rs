//! Frames of exec and terminal streams: one type byte, a big-endian `u32` length, that many bytes.
//!
//! The portal passes them on unread: towards the CLI and the browser one WebSocket binary message carries one frame as type
//! byte and payload, the length being the message's own.

/// What a frame's payload is. Unknown types are an error: there is one version of this protocol per portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Towards the server: bytes for standard input.
    Stdin = 0,
    Stdout = 1,
    Stderr = 2,
    /// Towards the server: JSON [`crate::api::Size`].
    Resize = 3,
    /// From the server, last: the exit code as decimal text (128 + n for signal n).
    Exit = 4,
    /// Towards the server: standard input ends.
    StdinEnd = 5,
    /// From the server, last: why the command could not be run, as text.
    Error = 6,
}

/// Largest payload of one frame, in bytes. Larger ones are refused (attack: oversized frames).
pub const MAX_PAYLOAD: usize = 64 * 1024;
