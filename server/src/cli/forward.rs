//! `forward`: a server's port on this machine, for as long as the command runs.

use app::api::EnvironmentDetail;
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use super::arguments::ForwardArguments;
use super::client::Client;
use super::failure::Failure;
use super::output::{Output, clean};

/// Runs until it is interrupted.
pub async fn forward(client: &Client, forward: ForwardArguments, output: Output) -> Result<(), Failure> {
    let (environment, server) = (forward.server.environment.as_str(), forward.server.server.as_str());
    let detail: EnvironmentDetail = client.get(&["environments", environment], &[]).await?;
    if !detail.servers.iter().any(|known| known.name == server || known.id == server) {
        let known: Vec<&str> = detail.servers.iter().map(|server| server.name.as_str()).collect();
        return Err(Failure::not_found(format!("“{environment}” has no server “{server}”"))
            .detail(format!("It has {}.", known.join(", "))));
    }
    let local = forward.ports.local;
    let listener = TcpListener::bind(("127.0.0.1", local)).await.map_err(|error| {
        Failure::local(format!("127.0.0.1:{local} cannot be listened on: {error}")).detail(format!(
            "Give another local port: {}:LOCAL, or {}:0 for any.",
            forward.ports.remote, forward.ports.remote
        ))
    })?;
    let address = listener.local_addr().map_err(|error| Failure::local(error.to_string()))?;
    // Cookies do not tell ports apart: an app that is opened under the portal's own name would be sent the portal's.
    let name = if client.base().host_str() == Some("localhost") { "127.0.0.1" } else { "localhost" };
    let address = format!("{name}:{}", address.port());
    output.result(&json!({ "address": address }), || address.clone())?;
    output.progress(&format!(
        "leads to port {} of {}/{}; end with Ctrl-C",
        forward.ports.remote,
        clean(environment),
        clean(server)
    ));
    let port = forward.ports.remote.to_string();
    let path = ["environments", environment, "servers", server, "ports", &port];
    let mut connections = futures::stream::FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((connection, _)) => connections.push(carry(client, &path, connection)),
                Err(error) => output.progress(&format!("a connection could not be taken: {error}")),
            },
            Some(ended) = connections.next() => {
                if let Err(Failure { error: Some(error), .. }) = ended {
                    output.progress(&error.to_string());
                }
            }
        }
    }
}

/// One connection, both ways, until both sides have ended it. An empty message ends one direction.
async fn carry(client: &Client, path: &[&str], connection: TcpStream) -> Result<(), Failure> {
    let (mut to_server, mut from_server) = client.websocket(path, &[]).await?.split();
    let (mut reader, mut writer) = connection.into_split();
    let up = async {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            // An error of the local side is an end like any other.
            let length = reader.read(&mut buffer).await.unwrap_or(0);
            let sent = to_server.send(Message::Binary(buffer[..length].to_vec().into())).await;
            if length == 0 || sent.is_err() {
                return;
            }
        }
    };
    let down = async {
        while let Some(Ok(message)) = from_server.next().await {
            match message {
                Message::Binary(bytes) if bytes.is_empty() => break,
                Message::Binary(bytes) if writer.write_all(&bytes).await.is_err() => return,
                Message::Close(_) => break,
                _ => {}
            }
        }
        let _ = writer.shutdown().await;
    };
    tokio::join!(up, down);
    Ok(())
}
