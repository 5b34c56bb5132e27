//! The one line each side says before yamux begins.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

use super::{Hello, LinkError, Transport, Welcome};

const MAX_LINE: usize = 4096;
/// For the whole greeting of the other side.
const PATIENCE: Duration = Duration::from_secs(10);

/// The agent's part: says hello and hears whether it is welcome.
pub(super) async fn introduce<S: Transport>(stream: S, hello: &Hello) -> Result<BufReader<S>, LinkError> {
    let mut stream = BufReader::new(stream);
    say(&mut stream, hello).await?;
    match hear(&mut stream).await? {
        Welcome::Accepted => Ok(stream),
        Welcome::Refused { reason } => Err(LinkError::Refused(reason)),
    }
}

/// The portal's part, first half.
pub(super) async fn receive<S: Transport>(stream: S) -> Result<(Hello, BufReader<S>), LinkError> {
    let mut stream = BufReader::new(stream);
    let hello: Hello = hear(&mut stream).await?;
    Ok((hello, stream))
}

pub(super) async fn say<S: AsyncWrite + Unpin>(stream: &mut S, message: &impl Serialize) -> Result<(), LinkError> {
    let mut line = serde_json::to_vec(message).map_err(|error| LinkError::Greeting(error.to_string()))?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.flush().await?;
    Ok(())
}

/// What follows the line stays in the reader's buffer: it already belongs to yamux.
async fn hear<S: AsyncRead + Unpin, M: DeserializeOwned>(stream: &mut BufReader<S>) -> Result<M, LinkError> {
    let line = tokio::time::timeout(PATIENCE, read_line(stream)).await.map_err(|_| LinkError::Timeout)??;
    serde_json::from_slice(&line).map_err(|error| LinkError::Greeting(error.to_string()))
}

async fn read_line<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Result<Vec<u8>, LinkError> {
    let mut line = Vec::new();
    loop {
        let available = stream.fill_buf().await?;
        if available.is_empty() {
            return Err(LinkError::Closed);
        }
        let (taken, complete) = match available.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (available.len(), false),
        };
        if line.len() + taken > MAX_LINE {
            return Err(LinkError::Greeting("the line is too long".into()));
        }
        line.extend_from_slice(&available[..taken]);
        stream.consume(taken);
        if complete {
            return Ok(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_endless_first_line_is_refused_instead_of_remembered() {
        let (mut stranger, portal) = tokio::io::duplex(64 * 1024);
        stranger.write_all(&[b'{'; 5000]).await.unwrap();
        assert!(matches!(receive(portal).await, Err(LinkError::Greeting(_))));
    }

    #[tokio::test]
    async fn a_refusal_carries_its_reason() {
        let (agent, portal) = tokio::io::duplex(4096);
        let hello = Hello::new("s", 1, "k");
        let portal = async {
            let (_, mut stream) = receive(portal).await.unwrap();
            say(&mut stream, &Welcome::Refused { reason: "the server was replaced".into() }).await.unwrap();
        };
        let (answer, ()) = tokio::join!(introduce(agent, &hello), portal);
        assert!(matches!(answer, Err(LinkError::Refused(reason)) if reason == "the server was replaced"));
    }
}
