//! Telling operators where they are, and not only in the portal, of what nobody owns: one message for all that is new, to the
//! address of `serve --alert-url`, as the incoming webhooks of chats take it: JSON with `text`.
//!
//! Guaranteed: whatever is found is told until a message of it has arrived, ever more rarely, and not again after that: not at the
//! next look, not by the next portal or by another one on the same database. Only a portal killed in the moment between may tell
//! it twice. The address counts as a secret: who knows it can write there. It is neither logged nor shown.
//!
//! Deliberately absent: alerts of anything else, which the portal's pages tell to who can do something about it.

use std::fmt;
use std::time::Duration;

use provisioners::OrphanKind;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde_json::json;

use crate::store::{OrphanRow, Store, StoreError};

/// For the receiver's answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longer than a message may take: a portal that was killed at it is missed after that.
const TURN_MS: i64 = 60_000;
/// Between the first two tries; each pause is twice as long as the one before.
const PAUSE_MS: i64 = 30_000;
const LONGEST_PAUSE_MS: i64 = 60 * 60_000;
/// So many are told one by one.
const MOST: usize = 20;

/// Where to, and what to say of the portal.
#[derive(Clone)]
pub struct Alerts {
    http: Client,
    url: Url,
    /// Its address for people, if it is known.
    portal: Option<String>,
}

impl fmt::Debug for Alerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerts").field("url", &"***").field("portal", &self.portal).finish()
    }
}

impl Alerts {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// What is wrong with the address, without repeating it.
    pub fn to(url: &str, portal: Option<&str>) -> Result<Self, String> {
        let example = "write one like https://chat.example.com/hooks/…";
        let url = Url::parse(url).map_err(|error| format!("it is no address ({error}); {example}"))?;
        let scheme = url.scheme();
        if !["https", "http"].contains(&scheme) || !url.has_host() {
            return Err(format!("it begins with {scheme}: and messages go by https (or http); {example}"));
        }
        // Only the first call of a process counts; a second provider is not wanted anyway.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("bookend/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            .redirect(Policy::none());
        if scheme == "http" {
            // Reading the system's certificates would be for nothing.
            builder = builder.tls_certs_only([]);
        }
        if is_this_machine(&url) {
            // Proxies are for places further away, whatever the environment says.
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| error.without_url().to_string())?;
        let portal = portal.map(|portal| portal.trim_end_matches('/').to_owned());
        Ok(Self { http, url, portal })
    }

    /// Sends what is to be told, if there is anything, it is time, and nobody else does.
    ///
    /// # Errors
    /// When the database has trouble.
    pub(super) async fn send(&self, store: &Store, now: i64) -> Result<(), StoreError> {
        if store.orphans_to_alert().await?.is_empty() || !store.claim_alert(now, now + TURN_MS).await? {
            return Ok(());
        }
        // Whoever had the turn until now may have told it.
        let found = store.orphans_to_alert().await?;
        if found.is_empty() {
            return store.note_alerted(&[], now).await;
        }
        match self.post(&self.text(&found)).await {
            Ok(()) => {
                let ids: Vec<&str> = found.iter().map(|row| row.orphan.id.as_str()).collect();
                store.note_alerted(&ids, now).await
            }
            Err(why) => {
                let pause = store.note_alert_failed(now, pause).await?;
                tracing::warn!(
                    "the message to --alert-url did not arrive: {why}. The next try is in {} s",
                    pause / 1000
                );
                Ok(())
            }
        }
    }

    async fn post(&self, text: &str) -> Result<(), String> {
        let sent = self.http.post(self.url.clone()).json(&json!({ "text": text })).send().await;
        let answer = sent.map_err(|error| chain(&error.without_url()))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("it was answered with {status}")),
        }
    }

    fn text(&self, found: &[OrphanRow]) -> String {
        let portal = self.portal.as_deref();
        let of = portal.map(|portal| format!(" at {portal}")).unwrap_or_default();
        let head = match found.len() {
            1 => format!("Bookend{of} found 1 leftover that belongs to no environment:"),
            many => format!("Bookend{of} found {many} leftovers that belong to no environment:"),
        };
        let more = found.len().checked_sub(MOST).filter(|more| *more > 0).map(|more| format!("… and {more} more"));
        let look = match portal {
            Some(portal) => format!("See {portal}/operator, or `bookend leftovers`."),
            None => "See the operator's page, or `bookend leftovers`.".to_owned(),
        };
        let lines = found.iter().take(MOST).map(line).chain(more);
        std::iter::once(head).chain(lines).chain([look]).collect::<Vec<_>>().join("\n")
    }
}

fn line(row: &OrphanRow) -> String {
    let orphan = &row.orphan;
    let kind = match orphan.kind {
        OrphanKind::Server => "server",
        OrphanKind::Volume => "volume",
        OrphanKind::Snapshot => "snapshot",
        OrphanKind::Network => "network",
    };
    let price = match orphan.monthly_cents {
        Some(cents) => format!("about ${}.{:02} a month", cents / 100, cents % 100),
        None => "nobody here knows its price".to_owned(),
    };
    format!("• {kind} {} ({}) at “{}”, {price}", orphan.id, orphan.about, row.provisioner)
}

/// After so many that failed before.
fn pause(failures: u32) -> i64 {
    PAUSE_MS.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE_MS)
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}
