//! A certificate authority of one story, and the certificate it gave to the portal's host.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tests::Outcome;
use tokio_rustls::TlsAcceptor;

pub struct Papers {
    /// The authority's certificate, as PEM.
    pub authority: String,
    pub acceptor: TlsAcceptor,
}

pub fn papers(host: &str) -> Outcome<Papers> {
    let mut claims = CertificateParams::new(Vec::new())?;
    claims.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let authority = claims.self_signed(&key)?;
    let issuer = Issuer::from_params(&claims, &key);
    let own_key = KeyPair::generate()?;
    let own = CertificateParams::new(vec![host.to_owned()])?.signed_by(&own_key, &issuer)?;
    let secret = PrivateKeyDer::try_from(own_key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_no_client_auth().with_single_cert(vec![own.der().clone()], secret)?;
    Ok(Papers { authority: authority.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) })
}
