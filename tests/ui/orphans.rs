//! What somebody pays Amazon for and nobody owns: told to operators, removed by them, and by nobody else.

use std::time::{SystemTime, UNIX_EPOCH};

use fake_ec2::{Fake, Rules};
use reqwest::Method;
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};
use tests::amazon::{self, table};
use tests::{Api, Browser, Outcome, Portal, Setting};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::signed_in;

const HOUR_MS: i64 = 60 * 60_000;
/// Keys of two accounts; the portal has the first.
const OURS: &str = "AKIAFAKEOURS";
const OTHERS: &str = "AKIAFAKETHEIRS";

/// An Amazon whose clock is two hours behind: what is made there is old enough to be judged.
struct Amazon {
    fake: Fake,
    endpoint: String,
}

impl Amazon {
    async fn open() -> Outcome<Self> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
        let fake = Fake::with_bodies(Rules { start_ms: now - 2 * HOUR_MS, ..Rules::calm() }, 1.0, None);
        let endpoint = amazon::listen(&fake).await?;
        Ok(Self { fake, endpoint })
    }

    /// Makes something that carries this installation's tag; its id.
    async fn make(&self, action: &str, form: &str, kind: &str, installation: &str) -> Outcome<String> {
        self.make_in(OURS, action, form, kind, installation).await
    }

    /// In the account of this key.
    async fn make_in(&self, key: &str, action: &str, form: &str, kind: &str, installation: &str) -> Outcome<String> {
        let tag = |number: u8, key: &str, value: &str| {
            let tag = format!("TagSpecification.1.Tag.{number}");
            format!("&{tag}.Key=bookend%3A{key}&{tag}.Value={value}")
        };
        let tags =
            tag(1, "installation", installation) + &tag(2, "environment", "01a1fc91-c4b9-778f-b136-26cf533212c3");
        let answer = self.call(key, action, &format!("{form}&TagSpecification.1.ResourceType={kind}{tags}")).await?;
        first(&answer, if kind == "instance" { "instanceId" } else { "volumeId" })
    }

    async fn call(&self, key: &str, action: &str, form: &str) -> Outcome<String> {
        let body = format!("Action={action}&Version=2016-11-15&{form}");
        let key = format!("AWS4-HMAC-SHA256 Credential={key}/20260101/eu-central-1/ec2/aws4_request");
        let http = reqwest::Client::builder().no_proxy().build()?;
        let request = http.post(&self.endpoint).header("authorization", key).body(body);
        Ok(request.header("content-type", "application/x-www-form-urlencoded").send().await?.text().await?)
    }

    fn volume_lives(&self, id: &str) -> bool {
        self.fake.truth().volumes.iter().any(|one| one.id == id && one.is_alive())
    }

    fn server_lives(&self, id: &str) -> bool {
        self.fake.truth().instances.iter().any(|one| one.id == id && one.is_alive())
    }
}

/// What stands first in this element.
fn first(answer: &str, element: &str) -> Outcome<String> {
    let found = answer.split(&format!("<{element}>")).nth(1).and_then(|rest| rest.split('<').next());
    Ok(found.ok_or_else(|| format!("There is no {element} in {answer}"))?.to_owned())
}

async fn portal_on(amazon: &Amazon) -> Outcome<Portal> {
    setting_on(amazon)?.start().await
}

fn setting_on(amazon: &Amazon) -> Outcome<Setting> {
    Setting::new()?.provisioners(&table("frankfurt", "eu-central-1", &amazon.endpoint))
}

async fn database(portal: &Portal) -> Outcome<SqliteConnection> {
    let file = portal.data_directory().join("bookend.db");
    Ok(SqliteConnection::connect(&format!("sqlite://{}", file.display())).await?)
}

/// What everything of this portal carries.
async fn installation(portal: &Portal) -> Outcome<String> {
    let mut database = database(portal).await?;
    let name = sqlx::query_scalar("select value from installation where key = 'id'").fetch_one(&mut database).await?;
    database.close().await?;
    Ok(name)
}

/// Another portal on the same data; it looks at once.
async fn look_again(portal: &mut Portal) -> Outcome {
    portal.kill().await?;
    let mut database = database(portal).await?;
    sqlx::query("update orphan_look set next_at = 0").execute(&mut database).await?;
    database.close().await?;
    portal.start_again().await
}

/// Until there are so many; a look is nobody's news.
async fn leftovers(api: &Api, number: usize) -> Outcome<Vec<Value>> {
    for _ in 0..600 {
        let found = api.get("/operator/leftovers").await?.expect_success()?;
        if let Some(found) = found.as_array().filter(|found| found.len() == number) {
            return Ok(found.clone());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(format!("never {number}: {:#}", api.get("/operator/leftovers").await?.body).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_for_and_nobodys_is_shown_with_its_price_and_goes_when_an_operator_means_it() -> Outcome {
    let amazon = Amazon::open().await?;
    let mut portal = portal_on(&amazon).await?;
    let browser = signed_in(&portal).await?;
    let api = portal.person("ada").await?;
    let ours = installation(&portal).await?;
    let volume = "AvailabilityZone=eu-central-1a&Size=100&VolumeType=gp3";
    let lost = amazon.make("CreateVolume", volume, "volume", &ours).await?;
    let theirs = amazon.make("CreateVolume", volume, "volume", "another-installation").await?;
    let abroad = amazon.make_in(OTHERS, "CreateVolume", volume, "volume", &ours).await?;
    let images = "Owner.1=amazon&Filter.1.Name=name&Filter.1.Value.1=al2023-ami-2023.*-x86_64";
    let image = first(&amazon.call(OURS, "DescribeImages", images).await?, "imageId")?;
    let machine = format!("ImageId={image}&InstanceType=t3.small&MinCount=1&MaxCount=1");
    let server = amazon.make("RunInstances", &machine, "instance", &ours).await?;
    look_again(&mut portal).await?;

    // Told with what it costs and what becomes of it.
    let found = leftovers(&api, 2).await?;
    let of = |id: &str| found.iter().find(|one| one["id"] == id).cloned().unwrap_or_default();
    assert_eq!((&of(&lost)["kind"], &of(&lost)["monthly_cents"]), (&"volume".into(), &800.into()), "{found:#?}");
    assert!(of(&lost)["ends_at"].is_null() && of(&server)["ends_at"].is_i64(), "{found:#?}");
    assert!(portal.log().contains("nobody owns this"), "{}", portal.log());
    // Every page says so to who can do something about it.
    browser.go(&portal.url("/environments")).await?;
    browser.click(".avatar").await?;
    browser.await_text(".menu__alert", "2 leftovers").await?;
    browser.picture("leftovers-alert").await?;
    browser.click("a[href=\"/operator\"]").await?;
    browser.await_text(".notice", "2 things at a provisioner belong to nobody").await?;
    browser.await_text(".list__more", "100 GiB in eu-central-1a at “frankfurt”, about $8.00 a month").await?;
    browser.await_text(".list__more", "Made 2 hours ago, nobody's since just now").await?;
    pictures(&browser).await?;

    // Data takes the whole id; a guess changes nothing.
    let path = format!("/operator/leftovers/frankfurt/{lost}");
    assert_eq!(api.send(Method::DELETE, &path, None).await?.status, 422);
    assert_eq!(api.send(Method::DELETE, &format!("{path}?typed=yes"), None).await?.status, 422);
    let of_others = format!("/operator/leftovers/frankfurt/{theirs}?typed={theirs}");
    assert_eq!(api.send(Method::DELETE, &of_others, None).await?.status, 404);
    let in_another_account = format!("/operator/leftovers/frankfurt/{abroad}?typed={abroad}");
    assert_eq!(api.send(Method::DELETE, &in_another_account, None).await?.status, 404);
    assert!(amazon.volume_lives(&lost) && amazon.volume_lives(&theirs) && amazon.server_lives(&server));

    // The server from the page, the volume from a shell.
    let row = format!("li[data-key=\"{server}\"]");
    browser.click(&format!("{row} summary")).await?;
    browser.click(&format!("{row} button[type=submit]")).await?;
    browser.await_text(".notice", "The leftover is gone, or on its way out").await?;
    assert!(!amazon.server_lives(&server) && amazon.volume_lives(&lost));
    let listed = portal.cli(&api, &["orphans"]).await?;
    assert!(String::from_utf8(listed.stdout)?.contains("$8.00"));
    assert!(!portal.cli(&api, &["leftovers", "remove", &lost]).await?.status.success(), "nobody could be asked");
    assert!(amazon.volume_lives(&lost));
    let removed = portal.cli(&api, &["leftovers", "remove", &lost, "--yes"]).await?;
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    assert!(!amazon.volume_lives(&lost) && amazon.volume_lives(&theirs) && amazon.volume_lives(&abroad));
    assert_eq!(leftovers(&api, 0).await?, Vec::<Value>::new());
    let mut connection = database(&portal).await?;
    let audited: Vec<(String, String)> =
        sqlx::query_as("select actor, target from audit_event where action = 'remove_leftover' order by at")
            .fetch_all(&mut connection)
            .await?;
    assert_eq!(audited, [("ada".to_owned(), server), ("ada".to_owned(), lost)]);
    assert_eq!(browser.complaints().await?, Vec::<String>::new());
    Ok(())
}

/// One request to a chat's webhook, taken: its head and its body.
async fn taken(chat: &TcpListener) -> Outcome<(String, Value)> {
    let (mut stream, _) = chat.accept().await?;
    let mut text = String::new();
    loop {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).await?;
        text += std::str::from_utf8(&piece[..length])?;
        let whole = text.split_once("\r\n\r\n").filter(|(_, body)| body.ends_with('}'));
        if let Some((head, body)) = whole {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await?;
            return Ok((head.to_owned(), serde_json::from_str(body)?));
        }
        assert!(length > 0, "broken off: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_told_of_a_leftover_in_their_chat_once_and_by_no_later_portal() -> Outcome {
    let amazon = Amazon::open().await?;
    // Before anything is asked by HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let chat = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/hooks/sesame", chat.local_addr()?);
    let mut portal = setting_on(&amazon)?.variable("BOOKEND_ALERT_URL", &url).start().await?;
    let ours = installation(&portal).await?;
    let lose = async |gib: u32| {
        let volume = format!("AvailabilityZone=eu-central-1a&Size={gib}&VolumeType=gp3");
        amazon.make("CreateVolume", &volume, "volume", &ours).await
    };
    let first = lose(100).await?;
    look_again(&mut portal).await?;
    let (head, message) = taken(&chat).await?;
    assert!(head.starts_with("POST /hooks/sesame ") && head.contains("application/json"), "{head}");
    let told = message["text"].as_str().unwrap_or_default();
    assert!(
        told.contains(&format!("• volume {first} (100 GiB in eu-central-1a) at “frankfurt”, about $8.00")),
        "{told}"
    );

    // The next portal finds it again and tells the new one alone.
    let second = lose(50).await?;
    look_again(&mut portal).await?;
    let (_, message) = taken(&chat).await?;
    let told = message["text"].as_str().unwrap_or_default();
    assert!(told.contains(&second) && !told.contains(&first), "{told}");
    assert!(!portal.log().contains("sesame"), "the address is a secret: {}", portal.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_for_alerts_that_cannot_be_one_keeps_a_portal_from_starting() -> Outcome {
    let said = Setting::new()?.options(&["--alert-url", "hooks.example.com/sesame"]).refusal().await?;
    assert!(said.contains("--alert-url: it is no address") && !said.contains("sesame"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_does_not_answer_hides_no_leftovers_of_others_and_is_named() -> Outcome {
    let near = Amazon::open().await?;
    let tables =
        table("frankfurt", "eu-central-1", &near.endpoint) + &table("dublin", "eu-west-1", "http://127.0.0.1:1");
    let mut portal = Setting::new()?.provisioners(&tables)?.start().await?;
    let browser = signed_in(&portal).await?;
    let api = portal.person("ada").await?;
    let ours = installation(&portal).await?;
    let silent = "“dublin” does not answer";
    let none = portal.cli(&api, &["leftovers"]).await?;
    assert!(String::from_utf8(none.stdout)?.contains("Nothing is known to be left over."));

    let lost =
        near.make("CreateVolume", "AvailabilityZone=eu-central-1a&Size=7&VolumeType=gp3", "volume", &ours).await?;
    look_again(&mut portal).await?;
    leftovers(&api, 1).await?;
    let listed = portal.cli(&api, &["leftovers"]).await?;
    assert!(String::from_utf8(listed.stdout)?.contains(&lost));
    assert!(String::from_utf8(listed.stderr)?.contains(silent));
    browser.go(&portal.url("/operator")).await?;
    browser.await_text(".list", &lost).await?;
    browser.await_text("section[aria-labelledby=leftovers]", silent).await?;
    Ok(())
}

async fn pictures(browser: &Browser) -> Outcome {
    for (width, theme) in [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")] {
        browser.dress(width, theme).await?;
        let to = "document.getElementById('leftovers').scrollIntoView(); return 1";
        browser.page.execute(to, Vec::new()).await?;
        browser.picture(&format!("orphans-{width}-{theme}")).await?;
    }
    browser.dress(1440, "light").await
}
