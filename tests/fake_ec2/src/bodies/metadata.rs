//! What an instance finds around it: the instance metadata service, version 2 only, and the portal at the gateway's address.
//!
//! A process of its own for each instance, in that instance's network; the two addresses exist there on the loopback. What
//! it tells is read from a file that the fake keeps.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, UnixStream};

/// The word that selects this in the program.
pub const COMMAND: &str = "surroundings";

const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Good for as long as the instance runs; who is inside may know it.
const TOKEN: &str = "AQAEAFakeTokenOfThisInstance==";

/// `fake-ec2 surroundings NETWORK METADATA-FILE [PORTAL-SOCKET ADDRESS]`, started by the holder.
pub fn run(arguments: &[String]) -> ExitCode {
    let (network, facts, portal) = match arguments {
        [network, facts] => (network, facts, None),
        [network, facts, socket, address] => match address.parse::<SocketAddr>() {
            Ok(address) => (network, facts, Some((PathBuf::from(socket), address))),
            Err(_) => return ExitCode::FAILURE,
        },
        _ => return ExitCode::FAILURE,
    };
    // Before there is a second thread.
    if holder::enter_network(Path::new(network), &[ADDRESS, super::GATEWAY]).is_err() {
        return ExitCode::FAILURE;
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let served = runtime.block_on(async {
        if let Some((socket, address)) = portal {
            tokio::spawn(relay(socket, TcpListener::bind(address).await?));
        }
        serve(PathBuf::from(facts)).await
    });
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn relay(socket: PathBuf, listener: TcpListener) -> io::Result<()> {
    loop {
        let (mut inner, _) = listener.accept().await?;
        let socket = socket.clone();
        tokio::spawn(async move {
            let mut outer = UnixStream::connect(socket).await?;
            tokio::io::copy_bidirectional(&mut inner, &mut outer).await
        });
    }
}

async fn serve(facts: PathBuf) -> io::Result<()> {
    let listener = TcpListener::bind((ADDRESS, 80)).await?;
    let facts = Arc::new(facts);
    loop {
        let (stream, _) = listener.accept().await?;
        let facts = facts.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let answer = answer(&facts, &request);
                async move { Ok::<_, std::convert::Infallible>(answer) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(facts: &Path, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if request.method() == Method::PUT && path == "/latest/api/token" {
        let asked = request.headers().contains_key("x-aws-ec2-metadata-token-ttl-seconds");
        let status = if asked { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        return reply(status, if asked { TOKEN.to_owned() } else { String::new() });
    }
    if request.headers().get("x-aws-ec2-metadata-token").is_none_or(|token| token != TOKEN) {
        return reply(StatusCode::UNAUTHORIZED, String::new());
    }
    let facts: BTreeMap<String, String> =
        std::fs::read(facts).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    match path.strip_prefix("/latest/").and_then(|name| facts.get(name)) {
        Some(fact) => reply(StatusCode::OK, fact.clone()),
        None => reply(StatusCode::NOT_FOUND, String::new()),
    }
}

fn reply(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}
