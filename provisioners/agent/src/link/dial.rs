//! The agent's way to a portal that is far away: TCP, perhaps through a proxy, TLS, and the WebSocket that a link runs over.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::address::{Place, Proxy, Target};
use super::messages::{LARGEST_MESSAGE, Messages, broken};
use super::{LinkError, PortalAddress, Transport, resolve};

/// Where the portal takes agents' links.
pub const PATH: &str = "/agent/link";
/// For everything until the WebSocket is there.
const PATIENCE: Duration = Duration::from_secs(20);
/// For one of the addresses that a name has.
const CONNECT_PATIENCE: Duration = Duration::from_secs(6);
/// Largest head of a proxy's answer, in bytes.
const LARGEST_HEAD: usize = 8 * 1024;

/// Dials with the proxy that the environment names. Says from which address of this machine, unless only it knows that one.
pub(super) async fn dial(portal: &PortalAddress) -> Result<(Box<dyn Transport>, Option<Ipv4Addr>), LinkError> {
    let variable = |name: &str| std::env::var(name).ok();
    tokio::time::timeout(PATIENCE, dial_by(portal, variable)).await.unwrap_or_else(|_| {
        Err(LinkError::Unreachable(format!("{} did not answer within {} s", portal.url, PATIENCE.as_secs())))
    })
}

async fn dial_by(
    portal: &PortalAddress,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(Box<dyn Transport>, Option<Ipv4Addr>), LinkError> {
    let target = Target::parse(&portal.url).map_err(LinkError::Unreachable)?;
    let stream = match target.proxy(variable).map_err(LinkError::Unreachable)? {
        None => connect(&target.place).await?,
        Some(proxy) => through(&proxy, &target.place).await?,
    };
    stream.set_nodelay(true).ok();
    let own = match stream.local_addr().map(|own| own.ip()) {
        Ok(IpAddr::V4(own)) if !own.is_loopback() => Some(own),
        _ => None,
    };
    if !target.tls {
        return Ok((websocket("ws", &target.place, stream).await?, own));
    }
    let config = trust(portal.ca_file.as_deref())?;
    let name = ServerName::try_from(target.place.host.clone());
    let name = name.map_err(|_| LinkError::Unreachable(format!("{:?} is no host's name", target.place.host)))?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = connected.map_err(|error| {
        let own_ca = "a portal whose certificate is not signed by a known authority needs `ca_file` in the identity";
        LinkError::Unreachable(format!("{} does not prove who it is: {error} ({own_ca})", portal.url))
    })?;
    Ok((websocket("wss", &target.place, stream).await?, own))
}

async fn connect(place: &Place) -> Result<TcpStream, LinkError> {
    let mut last = None;
    for address in resolve::addresses(&place.host).await.map_err(|error| LinkError::Unreachable(error.to_string()))? {
        match tokio::time::timeout(CONNECT_PATIENCE, TcpStream::connect((address, place.port))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Some(error),
            Err(_) => last = Some(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }
    let why = last.map(|error| error.to_string()).unwrap_or_default();
    Err(LinkError::Unreachable(format!("{} cannot be connected to: {why}", place.authority())))
}

/// Has a proxy connect (RFC 9110, section 9.3.6).
async fn through(proxy: &Proxy, target: &Place) -> Result<TcpStream, LinkError> {
    let refused = |why: String| LinkError::Unreachable(format!("the proxy {} {why}", proxy.place.authority()));
    let mut stream = connect(&proxy.place).await?;
    let authority = target.authority();
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
    if let Some(words) = &proxy.authorization {
        request.push_str(&format!("Proxy-Authorization: {words}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    // One by one: what follows the head is the other end's already.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= LARGEST_HEAD {
            return Err(refused("answers without an end".into()));
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) => return Err(refused(format!("hung up: {error}"))),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next().unwrap_or_default();
    let status = line.split_whitespace().nth(1).unwrap_or_default();
    match status.starts_with('2') && status.len() == 3 {
        true => Ok(stream),
        false => Err(refused(format!("does not connect to {authority}: {line}"))),
    }
}

/// The machine's own authorities, and the portal's where it has one.
fn trust(ca_file: Option<&Path>) -> Result<ClientConfig, LinkError> {
    let unusable = |file: &Path, why: String| {
        LinkError::Unreachable(format!("the certificates in {} cannot be used: {why}", file.display()))
    };
    let mut roots = RootCertStore::empty();
    let known = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(known.certs);
    if let Some(file) = ca_file {
        let read = CertificateDer::pem_file_iter(file).map_err(|error| unusable(file, error.to_string()))?;
        let mut own = 0;
        for certificate in read {
            let certificate = certificate.map_err(|error| unusable(file, error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(file, error.to_string()))?;
            own += 1;
        }
        if own == 0 {
            return Err(unusable(file, "there is none".into()));
        }
    }
    if roots.is_empty() {
        let what = "this machine knows no certificate authority: install ca-certificates, or name the portal's own in `ca_file`";
        return Err(LinkError::Unreachable(what.into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| LinkError::Unreachable(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

async fn websocket<S: Transport>(scheme: &str, place: &Place, stream: S) -> Result<Box<dyn Transport>, LinkError> {
    let request = tungstenite::handshake::client::Request::builder()
        .uri(format!("{scheme}://{}{PATH}", place.authority()))
        .header("host", place.authority())
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", tungstenite::handshake::client::generate_key())
        .header("user-agent", concat!("bookend-agent/", env!("CARGO_PKG_VERSION")))
        .body(());
    let request = request.map_err(|error| LinkError::Unreachable(error.to_string()))?;
    let config =
        WebSocketConfig::default().max_message_size(Some(LARGEST_MESSAGE)).max_frame_size(Some(LARGEST_MESSAGE));
    match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
        Ok((socket, _)) => Ok(Box::new(Messages::pinging(socket))),
        Err(tungstenite::Error::Http(answer)) => {
            let body = answer.body().as_deref().unwrap_or_default();
            let words: String =
                String::from_utf8_lossy(body).chars().filter(|one| !one.is_control()).take(300).collect();
            let status = answer.status();
            Err(LinkError::Unreachable(format!("{} takes no link: it answers {status} {words}", place.authority())))
        }
        Err(error) => Err(LinkError::Unreachable(format!("{} takes no link: {}", place.authority(), broken(error)))),
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::ws::WebSocketUpgrade;
    use axum::routing::get;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// An authority, and the certificate it gave to a host.
    struct Papers {
        authority: String,
        acceptor: TlsAcceptor,
    }

    fn papers(host: &str) -> Papers {
        let mut claims = CertificateParams::new(Vec::new()).unwrap();
        claims.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = claims.self_signed(&key).unwrap();
        let issuer = Issuer::from_params(&claims, &key);
        let own_key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&own_key, &issuer).unwrap();
        let secret = PrivateKeyDer::try_from(own_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![own.der().clone()], secret).unwrap();
        Papers { authority: authority.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    /// A portal that sends back what comes over its links.
    fn echo() -> Router {
        Router::new().route(
            PATH,
            get(|upgrade: WebSocketUpgrade| async {
                upgrade.on_upgrade(|socket| async {
                    let (mut read, mut write) = tokio::io::split(Messages::quiet(socket));
                    tokio::io::copy(&mut read, &mut write).await.ok();
                })
            }),
        )
    }

    async fn portal(papers: &Papers) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = papers.acceptor.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let service = hyper_util::service::TowerToHyperService::new(echo());
                let io = hyper_util::rt::TokioIo::new(stream);
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service).with_upgrades());
            }
        });
        port
    }

    async fn echoes(mut link: Box<dyn Transport>) -> bool {
        link.write_all(b"hello").await.unwrap();
        link.flush().await.unwrap();
        let mut heard = [0; 5];
        link.read_exact(&mut heard).await.unwrap();
        &heard == b"hello"
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[tokio::test]
    async fn a_portal_is_believed_when_an_authority_that_is_known_vouches_for_that_very_name() {
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        let papers = papers("localhost");
        std::fs::write(&ca_file, &papers.authority).unwrap();
        let port = portal(&papers).await;
        let address = |host: &str, ca_file: Option<&Path>| PortalAddress {
            url: format!("https://{host}:{port}"),
            ca_file: ca_file.map(Path::to_owned),
        };
        assert!(echoes(dial_by(&address("localhost", Some(&ca_file)), nothing).await.unwrap().0).await);

        let told = async |address: PortalAddress| dial_by(&address, nothing).await.err().unwrap().to_string();
        let stranger = told(address("localhost", None)).await;
        assert!(stranger.contains("ca_file"), "{stranger}");
        let other_name = told(address("127.0.0.1", Some(&ca_file))).await;
        assert!(other_name.contains("does not prove who it is"), "{other_name}");
        std::fs::write(&ca_file, "nothing").unwrap();
        let empty = told(address("localhost", Some(&ca_file))).await;
        assert!(empty.contains("cannot be used"), "{empty}");
    }

    #[tokio::test]
    async fn a_portal_that_hangs_up_is_told_in_plain_words() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let hanging_up = async {
            let mut stream = listener.accept().await.unwrap().0;
            stream.read_u8().await.unwrap();
        };
        let address = PortalAddress { url, ca_file: None };
        let (dialled, ()) = tokio::join!(dial_by(&address, nothing), hanging_up);
        let told = dialled.err().unwrap().to_string();
        assert!(told.contains("takes no link: ") && !told.contains("IO error"), "{told}");
    }

    #[tokio::test]
    async fn a_proxy_is_asked_politely_and_its_refusal_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        let papers = papers("bookend.test");
        std::fs::write(&ca_file, &papers.authority).unwrap();
        let port = portal(&papers).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                assert!(head.starts_with("CONNECT bookend.test:443 HTTP/1.1\r\nHost: bookend.test:443\r\n"), "{head}");
                if !head.contains("Proxy-Authorization: Basic YW5uOnNlc2FtZQ==\r\n") {
                    stream.write_all(b"HTTP/1.1 407 Who are you?\r\n\r\n").await.unwrap();
                    continue;
                }
                stream.write_all(b"HTTP/1.1 200 Connected\r\nVia: here\r\n\r\n").await.unwrap();
                let mut portal = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut portal).await });
            }
        });
        // Only the proxy knows where that is.
        let address = PortalAddress { url: "https://bookend.test".into(), ca_file: Some(ca_file) };
        let by = |person: &str| {
            let proxy = format!("http://{person}{proxy}");
            move |name: &str| (name == "HTTPS_PROXY").then(|| proxy.clone())
        };
        assert!(echoes(dial_by(&address, by("ann:sesame@")).await.unwrap().0).await);
        let refused = dial_by(&address, by("")).await.err().unwrap().to_string();
        assert!(refused.contains("407 Who are you?"), "{refused}");
    }
}
