//! What operators are told of where they are: once, however often it is found and whoever finds it, and until it has arrived.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use provisioners::{EnvironmentId, Orphan, OrphanKind};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use super::MORNING;
use crate::engine::Alerts;
use crate::store::{Store, sqlite_url};

/// What a chat's webhook got, and whether it takes it.
#[derive(Default)]
struct Chat {
    texts: Mutex<Vec<String>>,
    full: Mutex<bool>,
}

impl Chat {
    /// With its address, which is a secret.
    async fn open() -> (Arc<Self>, String) {
        let chat = Arc::new(Self::default());
        let take = async |State(chat): State<Arc<Chat>>, Json(body): Json<Value>| {
            chat.texts.lock().unwrap().push(body["text"].as_str().unwrap().to_owned());
            match *chat.full.lock().unwrap() {
                true => StatusCode::SERVICE_UNAVAILABLE,
                false => StatusCode::OK,
            }
        };
        let router = Router::new().route("/hooks/sesame", post(take)).with_state(chat.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks/sesame", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (chat, url)
    }

    fn texts(&self) -> Vec<String> {
        std::mem::take(&mut *self.texts.lock().unwrap())
    }
}

fn orphan(kind: OrphanKind, id: &str, monthly_cents: Option<u64>) -> Orphan {
    let environment = EnvironmentId::new("once");
    let about = "somewhere".to_owned();
    Orphan { kind, id: id.into(), environment, subject: None, about, made_at: None, monthly_cents }
}

async fn store() -> (Store, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Store::open(&sqlite_url(&directory.path().join("bookend.db"))).await.unwrap(), directory)
}

#[tokio::test]
async fn what_is_new_is_told_in_one_message_and_never_again() {
    let (store, _directory) = store().await;
    let (chat, url) = Chat::open().await;
    let alerts = Alerts::to(&url, Some("https://bookend.example.com/")).unwrap();
    alerts.send(&store, MORNING).await.unwrap();
    assert_eq!(chat.texts(), [] as [&str; 0], "there is nothing to tell");

    let two = [orphan(OrphanKind::Server, "i-1", Some(1518)), orphan(OrphanKind::Volume, "vol-2", None)];
    store.write_orphans("frankfurt", &two, MORNING).await.unwrap();
    alerts.send(&store, MORNING).await.unwrap();
    let told = "Bookend at https://bookend.example.com found 2 leftovers that belong to no environment:\n\
                • server i-1 (somewhere) at “frankfurt”, about $15.18 a month\n\
                • volume vol-2 (somewhere) at “frankfurt”, nobody here knows its price\n\
                See https://bookend.example.com/operator, or `bookend leftovers`.";
    assert_eq!(chat.texts(), [told]);

    // By the next look, after one that did not show it, by another portal, and under another name of its provisioner.
    let again = Alerts::to(&url, None).unwrap();
    for (now, found) in [(1, &two[..]), (2, &two[..1]), (3, &two[..])] {
        store.write_orphans("frankfurt", found, MORNING + now).await.unwrap();
        alerts.send(&store, MORNING + now).await.unwrap();
        again.send(&store, MORNING + now).await.unwrap();
    }
    store.forget_orphans_but_of(&[]).await.unwrap();
    store.write_orphans("main", &two, MORNING + 4).await.unwrap();
    again.send(&store, MORNING + 4).await.unwrap();
    assert_eq!(chat.texts(), [] as [&str; 0]);

    let three = [&two[..], &[orphan(OrphanKind::Snapshot, "snap-3", Some(50))]].concat();
    store.write_orphans("main", &three, MORNING + 5).await.unwrap();
    again.send(&store, MORNING + 5).await.unwrap();
    let told = "Bookend found 1 leftover that belongs to no environment:\n\
                • snapshot snap-3 (somewhere) at “main”, about $0.50 a month\n\
                See the operator's page, or `bookend leftovers`.";
    assert_eq!(chat.texts(), [told]);
}

#[tokio::test]
async fn of_portals_on_one_database_one_tells_it() {
    let (store, _directory) = store().await;
    let (chat, url) = Chat::open().await;
    let alerts = Alerts::to(&url, None).unwrap();
    store.write_orphans("frankfurt", &[orphan(OrphanKind::Server, "i-1", None)], MORNING).await.unwrap();
    let portals = (0..8).map(|_| alerts.send(&store, MORNING));
    futures::future::try_join_all(portals).await.unwrap();
    assert_eq!(chat.texts().len(), 1);
}

#[tokio::test]
async fn what_does_not_arrive_is_told_again_ever_more_rarely_until_it_does() {
    let (store, _directory) = store().await;
    let (chat, url) = Chat::open().await;
    let alerts = Alerts::to(&url, None).unwrap();
    store.write_orphans("frankfurt", &[orphan(OrphanKind::Server, "i-1", None)], MORNING).await.unwrap();
    *chat.full.lock().unwrap() = true;
    let mut tries = Vec::new();
    for second in 0..600 {
        alerts.send(&store, MORNING + second * 1000).await.unwrap();
        tries.extend(chat.texts().iter().map(|_| second));
    }
    assert_eq!(tries, [0, 30, 90, 210, 450]);
    *chat.full.lock().unwrap() = false;
    for second in 600..1200 {
        alerts.send(&store, MORNING + second * 1000).await.unwrap();
        tries.extend(chat.texts().iter().map(|_| second));
    }
    assert_eq!(tries[5..], [930]);
    // A portal that was killed at it is missed after a minute.
    store.write_orphans("frankfurt", &[orphan(OrphanKind::Server, "i-2", None)], MORNING).await.unwrap();
    assert!(store.claim_alert(MORNING + 1_200_000, MORNING + 1_260_000).await.unwrap());
    for (second, wanted) in [(1_259, 0), (1_260, 1)] {
        alerts.send(&store, MORNING + second * 1000).await.unwrap();
        assert_eq!(chat.texts().len(), wanted, "after {second} s");
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_one_is_refused_without_being_repeated() {
    for (url, says) in [
        ("hooks.example.com/sesame", "it is no address (relative URL without a base); write one like https://"),
        ("ftp://hooks.example.com/sesame", "it begins with ftp: and messages go by https"),
        ("mailto:sesame@example.com", "it begins with mailto: and messages go by https"),
    ] {
        let refused = Alerts::to(url, None).unwrap_err();
        assert!(refused.contains(says) && !refused.contains("sesame"), "{url}: {refused}");
    }
    let alerts = Alerts::to("https://hooks.example.com/sesame", None).unwrap();
    assert!(!format!("{alerts:?}").contains("sesame"));
}
