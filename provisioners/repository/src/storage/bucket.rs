//! A repository in a bucket that speaks S3, laid out as restic lays it out.
//!
//! Four requests are all it takes: list, get, put, delete, path-style, signed with the body's hash. A request that fails for a
//! reason that may pass (the network, 429, 500 and above) is tried again three times. S3 shows an object whole or not at all,
//! and lists it once the put was answered: that is what [`Storage`] promises. One put holds a whole file of the repository,
//! which stays far below the 5 GiB that one put may have.
//!
//! Two processes that make the *first* repository in one place at the same moment can shut one another out; make it once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{Client, Method, StatusCode, Url, redirect};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use super::signature::{Signer, encoded};
use super::{Kind, Storage, Stretch, is_a_name};
use crate::error::{Error, Outcome};
use crate::keys::hexadecimal;
use crate::secret::Secret;

const PAUSES: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5)];
/// Without an answer, or without the next part of one.
const SILENCE: Duration = Duration::from_secs(60);

/// Where a bucket is, and who may use it.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// `https://s3.eu-central-1.amazonaws.com`, or any other server's.
    pub endpoint: String,
    pub name: String,
    /// Below which the repository lies; empty for the bucket's top.
    pub prefix: String,
    pub region: String,
    pub access_key: String,
    pub secret_key: Secret,
}

#[derive(Debug)]
struct Connected {
    /// Of the bucket.
    url: String,
    /// Empty, or ending in a slash.
    prefix: String,
    signer: Signer,
    client: Client,
    /// The calls block, the client does not. None only while it is dropped.
    runtime: Option<Runtime>,
}

pub(crate) fn connect(bucket: &Bucket) -> Outcome<Arc<dyn Storage>> {
    let endpoint = bucket.endpoint.trim_end_matches('/');
    let url = format!("{endpoint}/{}", encoded(&bucket.name, false));
    let failed = |attempt: &str, source: io::Error| Error::Storage {
        location: url.clone(),
        attempt: attempt.into(),
        source: Arc::new(source),
    };
    let parsed = Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if parsed.is_none() || bucket.name.is_empty() {
        return Err(failed("understand the address", io::ErrorKind::InvalidInput.into()));
    }
    // Fails when the program has chosen already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(SILENCE)
        .redirect(redirect::Policy::none())
        .build()
        .map_err(|error| failed("prepare connections", io::Error::other(error)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("bucket")
        .enable_all()
        .build()
        .map_err(|error| failed("prepare connections", error))?;
    let prefix = bucket.prefix.trim_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    let signer = Signer {
        region: bucket.region.clone(),
        access_key: bucket.access_key.clone(),
        secret_key: bucket.secret_key.clone(),
    };
    Ok(Arc::new(Connected { url, prefix, signer, client, runtime: Some(runtime) }))
}

/// One request, made anew for every try.
struct Request<'a> {
    method: Method,
    /// Of the object; empty for the bucket itself.
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    stretch: Option<Stretch>,
    body: Bytes,
}

impl Request<'_> {
    fn get(key: &str) -> Request<'_> {
        Request { method: Method::GET, key, query: &[], stretch: None, body: Bytes::new() }
    }
}

impl Connected {
    fn key(&self, kind: Kind, name: &str) -> String {
        format!("{}{}", self.prefix, kind.path(name))
    }

    fn ask(&self, request: &Request<'_>) -> io::Result<Bytes> {
        let runtime = self.runtime.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        runtime.block_on(async {
            for pause in PAUSES {
                match self.try_once(request).await {
                    Err(Attempt::MayPass(error)) => {
                        tracing::debug!(%error, key = request.key, "a request to a bucket is tried again");
                        tokio::time::sleep(pause).await;
                    }
                    Err(Attempt::Final(error)) => return Err(error),
                    Ok(bytes) => return Ok(bytes),
                }
            }
            self.try_once(request).await.map_err(|(Attempt::MayPass(error) | Attempt::Final(error))| error)
        })
    }

    async fn try_once(&self, request: &Request<'_>) -> Result<Bytes, Attempt> {
        let path = if request.key.is_empty() { String::new() } else { format!("/{}", encoded(request.key, true)) };
        let query: Vec<String> =
            request.query.iter().map(|(name, value)| format!("{name}={}", encoded(value, false))).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let url = Url::parse(&format!("{}{path}{query}", self.url))
            .map_err(|error| Attempt::Final(io::Error::other(error)))?;
        let hash = hexadecimal(&Sha256::digest(&request.body));
        let mut call = self.client.request(request.method.clone(), url.clone());
        for (name, value) in self.signer.headers(request.method.as_str(), &url, &hash, Timestamp::now()) {
            call = call.header(name, value);
        }
        if let Some(Stretch { offset, length }) = request.stretch {
            call = call.header("range", format!("bytes={offset}-{}", (offset + length).saturating_sub(1)));
        }
        let may_pass = |error: reqwest::Error| Attempt::MayPass(io::Error::other(in_full(&error.without_url())));
        let answer = call.body(request.body.clone()).send().await.map_err(may_pass)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(may_pass)?;
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
    }

    /// All keys below the prefix and `below`, with their sizes; `at_most` one page of that many.
    fn keys(&self, below: &str, at_most: Option<&str>) -> io::Result<Vec<(String, u64)>> {
        let prefix = format!("{}{below}", self.prefix);
        let mut found = Vec::new();
        let mut from = None::<String>;
        loop {
            // In the order of their names: the signature is made of them so.
            let mut query = Vec::new();
            query.extend(from.as_deref().map(|from| ("continuation-token", from)));
            query.push(("list-type", "2"));
            query.extend(at_most.map(|most| ("max-keys", most)));
            query.push(("prefix", prefix.as_str()));
            let page = self.ask(&Request { query: &query, ..Request::get("") })?;
            let page = String::from_utf8_lossy(&page);
            for object in page.split("<Contents>").skip(1) {
                let (Some(key), Some(size)) = (element(object, "Key"), element(object, "Size")) else { continue };
                found.push((key, size.parse().map_err(io::Error::other)?));
            }
            from = element(&page, "NextContinuationToken");
            if from.is_none() || at_most.is_some() {
                return Ok(found);
            }
        }
    }
}

impl Storage for Connected {
    fn location(&self) -> String {
        format!("{}/{}", self.url, self.prefix.trim_end_matches('/'))
    }

    /// A bucket has no folders, and somebody else's to make.
    fn create(&self) -> io::Result<()> {
        Ok(())
    }

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.keys("", Some("1"))?.is_empty())
    }

    fn list(&self, kind: Kind) -> io::Result<Vec<(String, u64)>> {
        if kind == Kind::Config {
            let key = self.key(kind, "");
            let found = self.keys("config", None)?.into_iter().find(|(found, _)| *found == key);
            return Ok(found.map(|(_, size)| (String::new(), size)).into_iter().collect());
        }
        let names = self.keys(&format!("{}/", kind.folder()), None)?.into_iter().filter_map(|(key, size)| {
            let name = key.rsplit('/').next()?;
            is_a_name(name).then(|| (name.to_owned(), size))
        });
        Ok(names.collect())
    }

    fn read(&self, kind: Kind, name: &str, stretch: Option<Stretch>) -> io::Result<Bytes> {
        if stretch.is_some_and(|stretch| stretch.length == 0) {
            return Ok(Bytes::new());
        }
        let bytes = self.ask(&Request { stretch, ..Request::get(&self.key(kind, name)) })?;
        match stretch {
            Some(stretch) if bytes.len() as u64 != stretch.length => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(bytes),
        }
    }

    fn write(&self, kind: Kind, name: &str, parts: &[Bytes]) -> io::Result<()> {
        let body = parts.concat().into();
        self.ask(&Request { method: Method::PUT, body, ..Request::get(&self.key(kind, name)) }).map(drop)
    }

    fn remove(&self, kind: Kind, name: &str) -> io::Result<()> {
        match self.ask(&Request { method: Method::DELETE, ..Request::get(&self.key(kind, name)) }) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map(drop),
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        // Whoever drops a repository may be a task, and a task may not wait for a runtime's end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

enum Attempt {
    MayPass(io::Error),
    Final(io::Error),
}

fn refusal(status: StatusCode, body: &[u8]) -> Attempt {
    let body = String::from_utf8_lossy(body);
    let code = element(&body, "Code").unwrap_or_default();
    let words = element(&body, "Message").unwrap_or_default();
    let told = format!("the server answers {status} {code} {words}");
    let told = told.trim_end();
    match status {
        StatusCode::NOT_FOUND if code != "NoSuchBucket" => {
            Attempt::Final(io::Error::new(io::ErrorKind::NotFound, told))
        }
        StatusCode::RANGE_NOT_SATISFIABLE => Attempt::Final(io::Error::new(io::ErrorKind::UnexpectedEof, told)),
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
            Attempt::Final(io::Error::new(io::ErrorKind::PermissionDenied, told))
        }
        StatusCode::TOO_MANY_REQUESTS => Attempt::MayPass(io::Error::other(told)),
        _ if status.is_server_error() => Attempt::MayPass(io::Error::other(told)),
        _ => Attempt::Final(io::Error::other(told)),
    }
}

/// The text of the first element of this name. Keys of a repository, tokens and sizes hold nothing that XML would escape but
/// what a prefix may bring, and of keys only what follows the last slash counts.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = after.split_once(&format!("</{name}>"))?;
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    Some(plain.replace("&amp;", "&"))
}

fn in_full(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        told = format!("{told}: {source}");
        cause = source.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_keys_is_read() {
        let page = "<ListBucketResult><NextContinuationToken>a&amp;b</NextContinuationToken><Contents><Key>p/keys/1</Key>\
                    <Size>7</Size></Contents></ListBucketResult>";
        assert_eq!(element(page, "NextContinuationToken").as_deref(), Some("a&b"));
        assert_eq!(element(page, "Size").as_deref(), Some("7"));
        assert_eq!(element(page, "Code"), None);
    }
}
