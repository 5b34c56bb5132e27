//! What volumes hold, file by file: looked at, compared, verified, put there and brought back.

use std::time::Duration;

use app::api::{Role, Work};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Guest, House, Outcome};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const FILES: &str = "/environments/shop/volumes/site/files";
const CONTENT: &str = "/environments/shop/volumes/site/content";

/// An environment of ann's with a volume and a complete snapshot of it; the snapshot's id.
async fn shop(house: &House) -> Outcome<(Guest, String)> {
    let ann = house.guest("default", "ann", Role::User).await?;
    ann.order("site", "shop").await?;
    ann.api()?.await_state("shop", "ready").await?;
    put(&ann, "kept/word", b"first").await?.expect_success()?;
    let taken = ann.post("/environments/shop/snapshots", &json!({})).await?.expect_success()?;
    let complete = |all: &Value| all[0]["state"] == "complete";
    ann.api()?.await_below("shop", "/snapshots", "complete", complete).await?;
    Ok((ann, taken["id"].as_str().ok_or("a snapshot without an id")?.to_owned()))
}

async fn put(guest: &Guest, path: &str, content: &[u8]) -> Outcome<Answer> {
    send(guest, &[("path", path), ("replace", "true")], content).await
}

async fn send(guest: &Guest, query: &[(&str, &str)], content: &[u8]) -> Outcome<Answer> {
    let answer = guest.request(Method::PUT, CONTENT).query(query).body(content.to_vec()).send().await?;
    let status = answer.status();
    Ok(Answer { status, body: serde_json::from_str(&answer.text().await?).unwrap_or(Value::Null) })
}

async fn fetch(guest: &Guest, query: &[(&str, &str)]) -> Outcome<(u16, Vec<u8>)> {
    let answer = guest.request(Method::GET, CONTENT).query(query).send().await?;
    Ok((answer.status().as_u16(), answer.bytes().await?.to_vec()))
}

/// The last event of a verification.
async fn verify(guest: &Guest, snapshot: &str) -> Outcome<(u16, Value)> {
    let answer = guest.request(Method::POST, &format!("/environments/shop/snapshots/{snapshot}/verify")).send().await?;
    let status = answer.status().as_u16();
    let text = answer.text().await?;
    let last = text.lines().filter_map(|line| line.strip_prefix("data:")).next_back().unwrap_or(&text).to_owned();
    Ok((status, serde_json::from_str(last.trim())?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_put_into_a_volume_seen_by_its_servers_and_comes_back_from_a_snapshot() -> Outcome {
    let house = House::open().await?;
    let (ann, snapshot) = shop(&house).await?;
    assert_eq!(ann.exec("shop", "api", &["cat", "/site/kept/word"]).await?.0, "first");
    // It is the servers' own, and larger than any other request may be.
    let large = vec![b'x'; 3 << 20];
    let uploaded = put(&ann, "large", &large).await?;
    assert_eq!((uploaded.status.as_u16(), &uploaded.body["size"]), (201, &json!(large.len())));
    assert_eq!(
        ann.exec("shop", "api", &["sh", "-c", "echo more >> /site/large; wc -c < /site/large"]).await?.0,
        "3145733\n"
    );
    let again = send(&ann, &[("path", "large")], b"x").await?;
    assert_eq!(again.status, 409, "{}", again.body);

    put(&ann, "kept/word", b"second").await?.expect_success()?;
    let compare = format!("/environments/shop/snapshots/{snapshot}/compare");
    let compared = ann.get(&compare).await?.expect_success()?;
    let volume = &compared["volumes"][0];
    assert_eq!(
        (&volume["added"], &volume["changed"], &volume["removed"]),
        (&json!(1), &json!(1), &json!(0)),
        "{volume:#}"
    );
    assert!(volume["changes"].as_array().is_some_and(|all| all.iter().any(|one| one["path"] == "kept/word")));
    let same = ann.get(&format!("{compare}?with=latest")).await?.expect_success()?;
    assert_eq!(same["volumes"][0]["changes"], json!([]));

    let restore = "/environments/shop/volumes/site/restore";
    let beside = ann.post(restore, &json!({ "snapshot": snapshot, "path": "kept/word" })).await?;
    let name = beside.body["name"].as_str().unwrap_or_default().to_owned();
    assert!(beside.status == 201 && name.starts_with("word.from-"), "{}", beside.body);
    assert_eq!(fetch(&ann, &[("path", &format!("kept/{name}"))]).await?, (200, b"first".to_vec()));
    assert_eq!(fetch(&ann, &[("path", "kept/word")]).await?, (200, b"second".to_vec()));
    let in_place = json!({ "snapshot": snapshot, "path": "kept", "in_place": true });
    ann.post(restore, &in_place).await?.expect_success()?;
    let listed = ann.get(&format!("{FILES}?path=kept")).await?.expect_success()?;
    assert_eq!(listed["entries"].as_array().map(Vec::len), Some(1), "the folder is what it was: {listed:#}");
    assert_eq!(ann.exec("shop", "api", &["cat", "/site/kept/word"]).await?.0, "first");

    // Parked all the same.
    ann.api()?.act("shop", "park").await?;
    ann.api()?.await_state("shop", "parked").await?;
    put(&ann, "parked", b"yes").await?.expect_success()?;
    assert_eq!(fetch(&ann, &[("path", "parked")]).await?.1, b"yes");
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_told_page_by_page_and_downloaded_as_nobodys_page() -> Outcome {
    let house = House::open().await?;
    let (ann, snapshot) = shop(&house).await?;
    let script = "cd /site/kept && printf a > 'new\nline' && printf b > \"$(printf 'not \\377 text')\" && \
        printf '<script>' > page.html && ln -s /etc/passwd link && mkfifo pipe";
    ann.exec("shop", "api", &["sh", "-c", script]).await?;
    let first = ann.get(&format!("{FILES}?path=kept&limit=3")).await?.expect_success()?;
    let names = |page: &Value| -> Vec<String> {
        page["entries"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| one["path"].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(names(&first), ["kept/link", "kept/new%0Aline", "kept/not %FF text"]);
    assert_eq!((&first["entries"][0]["kind"], &first["entries"][0]["target"]), (&json!("link"), &json!("/etc/passwd")));
    let after = first["next"].as_str().ok_or("there is more")?.to_owned();
    let rest =
        ann.request(Method::GET, FILES).query(&[("path", "kept"), ("limit", "3"), ("after", &after)]).send().await?;
    let rest: Value = rest.json().await?;
    assert_eq!(names(&rest), ["kept/page.html", "kept/pipe", "kept/word"]);
    assert_eq!(rest["next"], Value::Null);
    assert_eq!(fetch(&ann, &[("path", "kept/not %FF text")]).await?, (200, b"b".to_vec()));
    assert_eq!(fetch(&ann, &[("path", "kept/new%0Aline")]).await?, (200, b"a".to_vec()));
    for path in ["kept/link", "kept/pipe", "kept/../../volume.json", "../volume.json"] {
        assert_eq!(fetch(&ann, &[("path", path)]).await?.0, 409, "{path}");
    }
    assert_eq!(fetch(&ann, &[("path", "nowhere")]).await?.0, 404);

    let page = ann.request(Method::GET, CONTENT).query(&[("path", "kept/page.html")]).send().await?;
    let said = |name: &str| page.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(said("content-type"), "application/octet-stream");
    assert_eq!(said("content-disposition"), "attachment; filename=\"page.html\"; filename*=UTF-8''page.html");
    assert!(said("content-security-policy").starts_with("sandbox") && said("x-content-type-options") == "nosniff");
    assert_eq!(said("content-length"), "8");

    let (status, archive) = fetch(&ann, &[("path", "kept"), ("snapshot", &snapshot)]).await?;
    assert_eq!((status, &archive[..5], archive.len() % 512), (200, &b"kept\0"[..], 0), "a tar archive");
    assert_eq!(ann.get(&format!("{FILES}?limit=0")).await?.status, 422);
    assert_eq!(ann.get(&format!("{FILES}?snapshot=nothing")).await?.status, 404);
    assert_eq!(send(&ann, &[], b"x").await?.status, 422);
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_volume_holds_is_the_owners_and_the_administrators_alone() -> Outcome {
    let house = House::open().await?;
    let (ann, snapshot) = shop(&house).await?;
    let ben = house.guest("default", "ben", Role::User).await?;
    let boss = house.guest("default", "boss", Role::Administrator).await?;
    let eve = house.guest("theirs", "eve", Role::Administrator).await?;
    let compare = format!("/environments/shop/snapshots/{snapshot}/compare");
    for (guest, allowed, put_allowed) in [(&ann, 200, 201), (&boss, 200, 201), (&ben, 403, 403), (&eve, 404, 404)] {
        assert_eq!(guest.get(FILES).await?.status, allowed, "{}", guest.name);
        assert_eq!(fetch(guest, &[("path", "kept/word")]).await?.0, allowed, "{}", guest.name);
        assert_eq!(guest.get(&compare).await?.status, allowed, "{}", guest.name);
        assert_eq!(put(guest, "by", b"x").await?.status, put_allowed, "{}", guest.name);
        let page = guest.in_browser(Method::GET, "/environments/shop/files/site").send().await?;
        assert_eq!(page.status(), allowed, "{}", guest.name);
        let restored = json!({ "snapshot": snapshot, "path": "kept", "in_place": true });
        let restored = guest.post("/environments/shop/volumes/site/restore", &restored).await?;
        assert_eq!(restored.status, put_allowed, "{}", guest.name);
        let verified = verify(guest, &snapshot).await?;
        assert_eq!(verified.0, allowed, "{}: {verified:?}", guest.name);
    }
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_verified_and_one_that_is_damaged_is_named_and_refused() -> Outcome {
    let house = House::open().await?;
    let (ann, snapshot) = shop(&house).await?;
    let of = |all: &Value| all[0].clone();
    let before = of(&ann.get("/environments/shop/snapshots").await?.body);
    house.wait(60_000);
    let (status, found) = verify(&ann, "latest").await?;
    assert_eq!((status, &found["event"], &found["result"]["damaged"]), (200, &json!("done"), &json!(0)), "{found:#}");
    let after = of(&ann.get("/environments/shop/snapshots").await?.body);
    assert!(after["verified_at"].as_i64() > before["verified_at"].as_i64(), "{after:#}");

    let volume = after["volumes"][0]["name"].as_str().unwrap_or_default().to_owned();
    let kept = house.data_directory().join("local/snapshots");
    let file = find(&kept, "kept/word").ok_or("the snapshot's copy of a file")?;
    std::fs::write(&file, "worse")?;
    let (_, found) = verify(&ann, &snapshot).await?;
    assert_eq!(found["result"]["damage"][0]["path"], "kept/word", "{found:#}");
    let damaged = of(&ann.get("/environments/shop/snapshots").await?.body);
    assert_eq!(damaged["state"], "damaged");
    let why = damaged["failure"].as_str().unwrap_or_default();
    assert!(why.contains("kept/word") && why.contains(&volume), "{why}");
    assert_eq!(damaged["verified_at"], after["verified_at"], "that is when it was good last");
    let whole = ann.post("/environments/shop/restore", &json!({ "snapshot": snapshot })).await?;
    assert_eq!(whole.status, 409, "{}", whole.body);
    let one = json!({ "snapshot": snapshot, "path": "kept/word", "in_place": true });
    let one = ann.post("/environments/shop/volumes/site/restore", &one).await?;
    assert!(
        one.status == 409 && one.body["title"].as_str().is_some_and(|title| title.contains("damaged")),
        "{}",
        one.body
    );
    let timeline = ann.get("/environments/shop/timeline?limit=50").await?.body;
    assert!(timeline["items"].as_array().is_some_and(|all| all.iter().any(|one| one["kind"] == "snapshot_damaged")));

    // What was wrong was the disk's word, not the disk: it is good again.
    let before = std::time::SystemTime::UNIX_EPOCH;
    std::fs::write(&file, "first")?;
    let original =
        std::fs::metadata(find(&house.data_directory().join("local/environments"), "kept/word").ok_or("a file")?)?;
    std::fs::File::open(&file)?.set_modified(original.modified().unwrap_or(before))?;
    let (_, found) = verify(&ann, &snapshot).await?;
    assert_eq!(found["result"]["damaged"], json!(0), "{found:#}");
    let good = of(&ann.get("/environments/shop/snapshots").await?.body);
    assert_eq!((&good["state"], &good["failure"]), (&json!("complete"), &Value::Null));
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_is_told_of_and_can_be_stopped() -> Outcome {
    let house = House::open().await?;
    let (ann, snapshot) = shop(&house).await?;
    put(&ann, "kept/word", b"second").await?.expect_success()?;
    let compare = format!("/environments/shop/snapshots/{snapshot}/compare?follow=true");
    let compared = events(&ann, Method::GET, &compare, Value::Null).await?;
    let last = compared.last().ok_or("no event")?;
    assert_eq!((&last["event"], &last["result"]["volumes"][0]["changed"]), (&json!("done"), &json!(1)), "{last:#}");

    let restore = "/environments/shop/volumes/site/restore?follow=true";
    let elsewhere = json!({ "snapshot": snapshot, "path": "kept/word", "to": "new/folder/word" });
    let restored = events(&ann, Method::POST, restore, elsewhere.clone()).await?;
    let last = restored.last().ok_or("no event")?;
    assert_eq!((&last["event"], &last["result"]["path"]), (&json!("done"), &json!("new/folder/word")), "{last:#}");
    assert_eq!(fetch(&ann, &[("path", "new/folder/word")]).await?, (200, b"first".to_vec()));
    let again = events(&ann, Method::POST, restore, elsewhere).await?;
    let last = again.last().ok_or("no event")?;
    assert_eq!((&last["event"], &last["error"]["status"]), (&json!("failed"), &json!(409)), "{last:#}");

    // Nobody asks it how far it is: it has not come far.
    let actor = ann.actor(&house).await?;
    let mut verifying = house.use_cases().verify_snapshot(&actor, "shop", "latest").await?;
    let all = ann.get("/environments/shop/snapshots").await?.body;
    assert!(all[0]["verifying"].is_object(), "{all:#}");
    let verify = format!("/environments/shop/snapshots/{snapshot}/verify");
    assert_eq!(ann.request(Method::DELETE, &verify).send().await?.status(), 204);
    let heard = futures::StreamExt::next(&mut verifying).await;
    assert!(matches!(&heard, Some(Work::Failed { error }) if error.title.contains("stopped")), "{heard:?}");
    drop(verifying);
    let all = ann.get("/environments/shop/snapshots").await?.body;
    assert_eq!((&all[0]["verifying"], &all[0]["state"]), (&Value::Null, &json!("complete")), "{all:#}");
    assert_eq!(ann.request(Method::DELETE, &verify).send().await?.status(), 409);
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_leaves_nothing_behind() -> Outcome {
    let house = House::open().await?;
    let (ann, _) = shop(&house).await?;
    let volumes = house.data_directory().join("local/environments");
    let head = format!(
        "PUT /api/v1{CONTENT}?path=new/half&replace=true HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
         content-length: 1000000\r\n\r\n",
        house.address(),
        ann.token
    );
    let mut sending = TcpStream::connect(house.address()).await?;
    sending.write_all(head.as_bytes()).await?;
    sending.write_all(&vec![b'x'; 300_000]).await?;
    until(|| find(&volumes, "upload").is_some()).await?;
    drop(sending);
    until(|| find(&volumes, "upload").is_none()).await?;
    assert_eq!(fetch(&ann, &[("path", "new")]).await?.0, 404, "not even the folder it was to be in");
    ann.api()?.act("shop", "delete").await?;
    Ok(())
}

/// Waits for what no event announces.
async fn until(is: impl Fn() -> bool) -> Outcome {
    let looking = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    Ok(tokio::time::timeout(Duration::from_secs(60), looking).await?)
}

/// All events of something long.
async fn events(guest: &Guest, method: Method, path: &str, body: Value) -> Outcome<Vec<Value>> {
    let mut request = guest.request(method, path);
    if !body.is_null() {
        request = request.json(&body);
    }
    let text = request.send().await?.text().await?;
    let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
    Ok(data.map(|data| serde_json::from_str(data.trim())).collect::<Result<_, _>>()?)
}

/// The first file below a directory whose path ends like this.
fn find(directory: &std::path::Path, end: &str) -> Option<std::path::PathBuf> {
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).ok()?.flatten() {
            let path = entry.path();
            if path.ends_with(end) {
                return Some(path);
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(path);
            }
        }
    }
    None
}
