//! Frames of exec and terminal streams: one type byte, a big-endian `u32` length, that many bytes.
//!
//! The portal passes them on unread: towards the CLI and the browser one WebSocket binary message carries one frame as type
//! byte and payload ([`Frame::into_message`], [`Frame::from_message`]), the length being the message's own.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

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
    /// Towards the server: standard input ends. A terminal is hung up by it.
    StdinEnd = 5,
    /// From the server, last: why the command could not be run, as text.
    Error = 6,
    /// From a terminal, first: output from before this connection. Who shows it again answers none of its questions.
    Replay = 7,
}

/// Largest payload of one frame, in bytes. Larger ones are refused (attack: oversized frames).
pub const MAX_PAYLOAD: usize = 64 * 1024;

const HEADER: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    /// At most [`MAX_PAYLOAD`] bytes.
    pub payload: Bytes,
}

/// Why bytes are not a frame. The stream they came on is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("frame type {0} is unknown; portal and agent must be of the same version")]
    UnknownKind(u8),
    #[error("a frame of {0} bytes is refused; the largest is {MAX_PAYLOAD}")]
    TooLarge(usize),
    #[error("the stream ended in the middle of a frame")]
    Truncated,
    #[error("a frame needs at least its type byte")]
    Empty,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Kind {
    fn from_byte(byte: u8) -> Result<Self, FrameError> {
        Ok(match byte {
            0 => Kind::Stdin,
            1 => Kind::Stdout,
            2 => Kind::Stderr,
            3 => Kind::Resize,
            4 => Kind::Exit,
            5 => Kind::StdinEnd,
            6 => Kind::Error,
            7 => Kind::Replay,
            other => return Err(FrameError::UnknownKind(other)),
        })
    }
}

impl Frame {
    pub fn new(kind: Kind, payload: impl Into<Bytes>) -> Self {
        Self { kind, payload: payload.into() }
    }

    /// One WebSocket binary message: type byte, then payload.
    pub fn into_message(self) -> Bytes {
        let mut message = BytesMut::with_capacity(1 + self.payload.len());
        message.put_u8(self.kind as u8);
        message.put_slice(&self.payload);
        message.freeze()
    }

    /// # Errors
    /// [`FrameError`] for an empty message, an unknown type or an oversized payload.
    pub fn from_message(mut message: Bytes) -> Result<Self, FrameError> {
        if message.is_empty() {
            return Err(FrameError::Empty);
        }
        let kind = Kind::from_byte(message.get_u8())?;
        if message.len() > MAX_PAYLOAD {
            return Err(FrameError::TooLarge(message.len()));
        }
        Ok(Self { kind, payload: message })
    }
}

/// Frames on a byte stream, for `tokio_util::codec::{FramedRead, FramedWrite, Framed}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Codec;

impl Decoder for Codec {
    type Item = Frame;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some((&kind, rest)) = buffer.split_first() else { return Ok(None) };
        let kind = Kind::from_byte(kind)?;
        let Some(length) = rest.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_PAYLOAD {
            return Err(FrameError::TooLarge(length));
        }
        if buffer.len() < HEADER + length {
            buffer.reserve(HEADER + length - buffer.len());
            return Ok(None);
        }
        buffer.advance(HEADER);
        Ok(Some(Frame { kind, payload: buffer.split_to(length).freeze() }))
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        match self.decode(buffer)? {
            Some(frame) => Ok(Some(frame)),
            None if buffer.is_empty() => Ok(None),
            None => Err(FrameError::Truncated),
        }
    }
}

impl Encoder<Frame> for Codec {
    type Error = FrameError;

    fn encode(&mut self, frame: Frame, buffer: &mut BytesMut) -> Result<(), FrameError> {
        if frame.payload.len() > MAX_PAYLOAD {
            return Err(FrameError::TooLarge(frame.payload.len()));
        }
        buffer.reserve(HEADER + frame.payload.len());
        buffer.put_u8(frame.kind as u8);
        buffer.put_u32(frame.payload.len() as u32);
        buffer.put_slice(&frame.payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_out_as_it_went_in_however_the_bytes_are_cut() {
        let frame = Frame::new(Kind::Stdout, &b"hello"[..]);
        let mut wire = BytesMut::new();
        Codec.encode(frame.clone(), &mut wire).unwrap();
        let mut received = BytesMut::new();
        for (index, byte) in wire.iter().enumerate() {
            received.put_u8(*byte);
            let decoded = Codec.decode(&mut received).unwrap();
            assert_eq!(decoded.is_some(), index + 1 == wire.len());
        }
    }

    #[test]
    fn an_oversized_frame_is_refused_before_its_payload_arrives() {
        let mut wire = BytesMut::from(&[1u8, 0xff, 0xff, 0xff, 0xff][..]);
        assert!(matches!(Codec.decode(&mut wire), Err(FrameError::TooLarge(_))));
        let message = Bytes::from(vec![0u8; MAX_PAYLOAD + 2]);
        assert!(matches!(Frame::from_message(message), Err(FrameError::TooLarge(_))));
    }

    #[test]
    fn unknown_types_and_torn_frames_are_errors() {
        assert!(matches!(Codec.decode(&mut BytesMut::from(&[9u8][..])), Err(FrameError::UnknownKind(9))));
        assert!(matches!(Codec.decode_eof(&mut BytesMut::from(&[0u8, 0, 0][..])), Err(FrameError::Truncated)));
        assert!(matches!(Frame::from_message(Bytes::new()), Err(FrameError::Empty)));
    }

    #[test]
    fn a_frame_and_its_websocket_message_are_the_same_thing() {
        let frame = Frame::new(Kind::Exit, "130");
        assert_eq!(Frame::from_message(frame.clone().into_message()).unwrap(), frame);
    }
}
