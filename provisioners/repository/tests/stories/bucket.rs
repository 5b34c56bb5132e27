//! A repository in a bucket. The server is a small one of this story's own, which speaks S3 as far as is asked of it and is as
//! unpleasant as servers can be: it answers in pages of three, and every thirtieth time not at all. The portal's stories use one
//! that others wrote.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use repository::{Bucket, Config, Error, Place, Repository, Secret, Unchanged, Watcher};

use crate::fixture::{Fixture, PASSWORD, meta};
use crate::trees::{assert_same, everything};

#[derive(Default)]
struct Server {
    objects: Mutex<BTreeMap<String, Bytes>>,
    asked: AtomicU64,
}

type Answer = (StatusCode, Bytes);

fn told(status: StatusCode, code: &str) -> Answer {
    (status, format!("<Error><Code>{code}</Code><Message>In words.</Message></Error>").into())
}

async fn answer(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if server.asked.fetch_add(1, Ordering::Relaxed) % 30 == 29 {
        return told(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
    }
    if !text("authorization").starts_with("AWS4-HMAC-SHA256 Credential=reader/") {
        return told(StatusCode::FORBIDDEN, "InvalidAccessKeyId");
    }
    let Some(key) = uri.path().strip_prefix("/books") else { return told(StatusCode::NOT_FOUND, "NoSuchBucket") };
    let mut objects = server.objects.lock().expect("a lock");
    match (method, key.trim_start_matches('/')) {
        (Method::GET, "") => (StatusCode::OK, page(&objects, uri.query().unwrap_or_default()).into()),
        (Method::GET, key) => match objects.get(key) {
            None => told(StatusCode::NOT_FOUND, "NoSuchKey"),
            Some(object) => match text("range").strip_prefix("bytes=").and_then(|range| range.split_once('-')) {
                None => (StatusCode::OK, object.clone()),
                Some((from, to)) => {
                    let (from, to): (usize, usize) = (from.parse().expect("a number"), to.parse().expect("a number"));
                    if from >= object.len() {
                        return told(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
                    }
                    (StatusCode::PARTIAL_CONTENT, object.slice(from..object.len().min(to + 1)))
                }
            },
        },
        (Method::PUT, key) => {
            objects.insert(key.to_owned(), body);
            (StatusCode::OK, Bytes::new())
        }
        (_, key) => {
            objects.remove(key);
            (StatusCode::NO_CONTENT, Bytes::new())
        }
    }
}

fn page(objects: &BTreeMap<String, Bytes>, query: &str) -> String {
    let query: BTreeMap<_, _> = query.split('&').filter_map(|part| part.split_once('=')).collect();
    let prefix = query["prefix"].replace("%2F", "/");
    let after = query.get("continuation-token").copied().unwrap_or_default().replace("%2F", "/");
    let mut found = objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
    let mut page = String::from("<ListBucketResult>");
    let mut last = "";
    for (key, object) in found.by_ref().take(3) {
        page += &format!("<Contents><Key>{key}</Key><Size>{}</Size></Contents>", object.len());
        last = key;
    }
    if found.next().is_some() {
        page += &format!("<NextContinuationToken>{last}</NextContinuationToken>");
    }
    page + "</ListBucketResult>"
}

#[test]
fn a_repository_in_a_bucket_is_as_good_as_one_in_a_folder() {
    let server = Arc::new(Server::default());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let router =
        Router::new().fallback(answer).layer(axum::extract::DefaultBodyLimit::disable()).with_state(server.clone());
    runtime.spawn(async move { axum::serve(listener, router).await });

    let fixture = Fixture::new();
    everything(&fixture.path("data"));
    let config = |name: &str, access_key: &str| {
        let bucket = Bucket {
            endpoint: endpoint.clone(),
            name: name.into(),
            prefix: "/of/bookend/".into(),
            region: "eu-central-1".into(),
            access_key: access_key.into(),
            secret_key: Secret::new("canary"),
        };
        Config { place: Place::Bucket(bucket), password: Secret::new(PASSWORD) }
    };
    for (name, key, why) in [("books", "somebody", "InvalidAccessKeyId"), ("other", "reader", "NoSuchBucket")] {
        let failure = Repository::open_or_create(&config(name, key)).expect_err(why);
        assert!(matches!(&failure, Error::Storage { .. }) && failure.to_string().contains(why), "{failure}");
        assert!(!format!("{failure:?} {:?}", config(name, key)).contains("canary"));
    }

    let repository = Repository::open_or_create(&config("books", "reader")).expect("a repository");
    for (name, content) in [("one", "1"), ("two", "2"), ("three", "3"), ("four", "4")] {
        fs::write(fixture.path("data").join("a.txt"), content).expect("a file");
        let data = fixture.path("data");
        repository
            .export(&[("data", &data)], &meta(name), Unchanged::ByContent, &Watcher::silent())
            .expect("an export");
    }
    let repository = Repository::open(&config("books", "reader")).expect("the repository");
    let found = repository.list().expect("a list").found;
    assert_eq!(found.len(), 4);
    let latest = found.iter().find(|found| found.tags.iter().any(|tag| tag == "snapshot=four")).expect("the latest");
    repository
        .forget(&[found.iter().find(|other| other.id != latest.id).expect("another").id.clone()])
        .expect("forgotten");
    repository.prune().expect("pruned");
    fixture.import(&repository, &latest.id).expect("an import");
    assert_same(&fixture.path("data"), &fixture.path("imported").join("data"));
    assert_eq!(repository.check(true).expect("checked"), []);

    let locks = |key: &String| key.starts_with("of/bookend/locks/");
    assert!(!server.objects.lock().expect("a lock").keys().any(locks), "all locks were given back");
    let pack =
        server.objects.lock().expect("a lock").keys().find(|key| key.contains("/data/")).expect("a pack").clone();
    server.objects.lock().expect("a lock").remove(&pack);
    let problems = repository.check(false).expect("checked");
    assert!(
        problems
            .iter()
            .any(|problem| problem.is_damage && problem.what.contains(&pack.rsplit('/').next().expect("a name")[..8]))
    );
}
