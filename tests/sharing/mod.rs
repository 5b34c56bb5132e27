//! A volume that several servers share where servers share no disk: each has a copy, and Syncthing keeps the copies in step.
//! Told with the real one, on local servers whose provisioner was told not to share disks.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tests::{Api, Outcome, Portal, Setting, leftovers};

/// How long a change may take to arrive. Only one that never will lets a story wait so long.
const PATIENCE: Duration = Duration::from_secs(120);

const PAIR: &str = r#"name: pair
version: "1"
title: Pair
summary: Two servers that share a volume.
category: Tests
servers:
  one: {}
  two: {}
volumes:
  files: {size: 1 GiB, mounts: {one: /files, two: /files}}
"#;

/// What `late` finds on the volume when its own programs begin is what it had caught up with by then.
const TRIO: &str = r#"name: trio
version: "1"
title: Trio
summary: A server that comes late to a volume.
category: Tests
servers:
  first:
    setup: |
      mkdir -p /files/early && cd /files/early && seq 400 | split --lines=1 --suffix-length=4
      head -c 20000000 /dev/urandom > /files/large
  other: {}
  late:
    needs: [first]
    startup: |
      find /files -name .bookend -prune -o -type f -print | sort > "$HOME/found"
      stat --format=%s /files/large >> "$HOME/found"
volumes:
  files: {size: 1 GiB, mounts: {first: /files, other: /files, late: /files}}
"#;

struct Shelf {
    portal: Portal,
    api: Api,
    id: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_server_writes_changes_and_deletes_arrives_at_the_other() -> Outcome {
    let shelf = Shelf::order("pair", PAIR).await?;
    shelf.run("one", "mkdir -p '/files/a b' && printf first > '/files/a b/word' && ln -s 'a b' /files/link").await?;
    shelf.sees("two", "test \"$(cat '/files/a b/word')\" = first && test -L /files/link").await?;
    shelf.run("two", "printf second > '/files/a b/word' && chmod 700 '/files/a b/word'").await?;
    shelf.sees("one", "test \"$(cat '/files/a b/word')\" = second && test -x '/files/a b/word'").await?;
    shelf.run("one", "rm -r '/files/a b' /files/link").await?;
    shelf.sees("two", "test ! -e '/files/a b' && test ! -L /files/link").await?;

    let now = shelf.await_standing("in step").await?;
    let mut volumes: Vec<String> = now["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|volume| format!("{} on {}", volume["name"], volume["servers"]))
        .collect();
    volumes.sort();
    assert_eq!(volumes, [r#""files-one" on ["one"]"#, r#""files-two" on ["two"]"#], "each has its own");
    let shown = shelf.portal.cli(&shelf.api, &["show", &shelf.id]).await?;
    let shown = String::from_utf8(shown.stdout)?;
    assert!(shown.contains("two: in step"), "{shown}");
    // What Syncthing is told by, and who it is, is for this server's own user alone, and nothing else listens than the
    // private network's address.
    let settings = shelf
        .run("one", "stat --format=%a /run/bookend/state/shared/files/*.xml /run/bookend/state/shared/files/key.pem")
        .await?;
    assert_eq!(settings, "600\n600");
    let listening =
        shelf.run("one", "awk '$4 == \"0A\" {print $2}' /proc/net/tcp; awk '$4 == \"0A\"' /proc/net/tcp6").await?;
    assert_eq!(listening, "0A00420A:55F0", "10.66.0.10, port 22000, and nothing else");
    shelf.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_file_changed_on_both_at_once_both_versions_are_kept_and_it_is_told() -> Outcome {
    let shelf = Shelf::order("pair", PAIR).await?;
    // Neither hears of the other's before it has its own.
    shelf.signal("two", "STOP").await?;
    shelf.run("one", "printf 'from one' > /files/word").await?;
    shelf.run("two", "printf 'from two' > /files/word").await?;
    shelf.signal("two", "CONT").await?;
    let both = "cat /files/word* | grep -q 'from one' && cat /files/word* | grep -q 'from two' && ls /files/word.sync-conflict-*";
    shelf.sees("one", both).await?;
    shelf.sees("two", both).await?;
    let told = |page: &Value| conflicts(page).len() == 1;
    let timeline = shelf.api.await_below(&shelf.id, "/timeline?limit=200", "a conflict told", told).await?;
    let told = conflicts(&timeline).remove(0);
    assert!(told.contains("files") && told.contains("Both versions are kept, one as word.sync-conflict-"), "{told}");
    shelf.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_late_or_anew_has_caught_up_before_its_programs_begin() -> Outcome {
    let shelf = Shelf::order("trio", TRIO).await?;
    let found = shelf.run("late", "cat \"$HOME/found\"").await?;
    assert_eq!(found.matches("/files/early/").count(), 400, "{found}");
    assert!(found.ends_with("20000000"), "{found}");

    // What is written while it hears nothing, and known to another, is there when the next one in its place begins.
    shelf.signal("late", "STOP").await?;
    shelf
        .run("first", "mkdir /files/meanwhile && cd /files/meanwhile && seq 300 | split --lines=1 --suffix-length=4")
        .await?;
    shelf.run("first", "rm /files/early/xaaaa").await?;
    shelf.sees("other", "test $(ls /files/meanwhile | wc -l) = 300 && test ! -e /files/early/xaaaa").await?;
    let agents = leftovers::of_servers(&shelf.portal);
    let late = agents
        .iter()
        .find(|process| is_of(process.id, "late") && leftovers::servers(std::slice::from_ref(process)) == 1);
    let late = Pid::from_raw(late.ok_or("the late server does not run")?.id.cast_signed()).ok_or("no process")?;
    kill_process(late, Signal::KILL)?;
    let anew = |now: &Value| {
        let late = now["servers"].as_array().into_iter().flatten().find(|server| server["name"] == "late");
        now["state"] == "ready" && late.is_some_and(|late| late["generation"] == 2)
    };
    shelf.api.await_that(&shelf.id, "ready with another server", anew).await?;
    let found = shelf.run("late", "cat \"$HOME/found\"").await?;
    assert_eq!(found.matches("/files/meanwhile/").count(), 300, "{found}");
    assert!(!found.contains("/files/early/xaaaa\n"), "what was deleted meanwhile has come back");
    assert_eq!(shelf.conflicts().await?, [] as [String; 0]);
    shelf.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_kept_brought_back_and_parked_as_one_and_go_on_without_false_conflicts() -> Outcome {
    let shelf = Shelf::order("pair", PAIR).await?;
    shelf.run("one", "printf then > /files/word && printf kept > /files/kept").await?;
    shelf.sees("two", "test \"$(cat /files/word /files/kept)\" = thenkept").await?;
    // The very last change may be on its way while all stand still: it arrives after the restore instead.
    shelf.run("two", "printf 'on its way' > /files/way").await?;
    let taken = shelf.api.post(&format!("/environments/{}/snapshots", shelf.id), json!({})).await?.expect_success()?;
    let over = |all: &Value| all[0]["state"] == "complete" || all[0]["state"] == "failed";
    let all = shelf.api.await_below(&shelf.id, "/snapshots", "complete", over).await?;
    assert_eq!(all[0]["state"], "complete", "{all:#}");
    let volumes: Vec<&str> =
        all[0]["volumes"].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(volumes, ["files-one", "files-two"], "a copy is a volume as any other");

    shelf.run("one", "printf now > /files/word && rm /files/kept && printf new > /files/new").await?;
    shelf.sees("two", "test \"$(cat /files/word)\" = now && test ! -e /files/kept && test -e /files/new").await?;
    let restore = json!({ "snapshot": taken["id"] });
    shelf.api.post(&format!("/environments/{}/restore", shelf.id), restore).await?.expect_success()?;
    shelf.api.await_state(&shelf.id, "ready").await?;
    for server in ["one", "two"] {
        let then = "test \"$(cat /files/word /files/kept)\" = thenkept && test ! -e /files/new";
        shelf.run(server, then).await?;
        shelf.sees(server, "test \"$(cat /files/way)\" = 'on its way'").await?;
    }
    shelf.run("two", "printf later > /files/word").await?;
    shelf.sees("one", "test \"$(cat /files/word)\" = later").await?;

    shelf.run("one", "printf 'last word' > /files/last && rm /files/kept").await?;
    shelf.api.act(&shelf.id, "park").await?;
    shelf.api.await_state(&shelf.id, "parked").await?;
    shelf.api.act(&shelf.id, "resume").await?;
    shelf.api.await_state(&shelf.id, "ready").await?;
    shelf.sees("two", "test \"$(cat /files/last)\" = 'last word' && test ! -e /files/kept").await?;
    assert_eq!(shelf.conflicts().await?, [] as [String; 0]);
    shelf.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_goes_on_with_copies_of_its_own_under_a_name_of_its_own() -> Outcome {
    let mut shelf = Shelf::order("pair", PAIR).await?;
    shelf.run("one", "printf shared > /files/word").await?;
    shelf.sees("two", "test -e /files/word").await?;
    let who = "cat /run/bookend/state/shared/files/cert.pem";
    let was = shelf.run("one", who).await?;
    let order = json!({ "template": "pair", "name": "clone", "data": { "environment": shelf.id } });
    let clone = shelf.api.post("/environments", order).await?.expect_success()?;
    shelf.api.await_state("clone", "ready").await?;

    let clone = clone["id"].as_str().ok_or("The order has no id.")?.to_owned();
    let original = std::mem::replace(&mut shelf.id, clone);
    assert_ne!(shelf.run("one", who).await?, was, "its servers are others");
    assert_eq!(shelf.run("two", "cat /files/word").await?, "shared");
    shelf.run("two", "printf cloned > /files/word").await?;
    shelf.sees("one", "test \"$(cat /files/word)\" = cloned").await?;
    assert_eq!(shelf.conflicts().await?, [] as [String; 0]);
    shelf.api.act(&shelf.id, "delete").await?;
    shelf.api.await_state(&shelf.id, "deleted").await?;

    shelf.id = original;
    assert_eq!(shelf.run("one", "cat /files/word").await?, "shared", "nothing of it came back here");
    shelf.end().await
}

impl Shelf {
    async fn order(template: &str, text: &str) -> Outcome<Shelf> {
        let setting = Setting::new()?.template(template, text)?.options(&["--local-separate-disks"]);
        let portal = setting.start().await?;
        let api = portal.administrator().await?;
        let id = api.order(template, "shelf").await?["id"].as_str().ok_or("The order has no id.")?.to_owned();
        api.await_state(&id, "ready").await?;
        Ok(Shelf { portal, api, id })
    }

    /// What a script says on a server, without white space around it.
    async fn run(&self, server: &str, script: &str) -> Outcome<String> {
        let place = format!("{}/{server}", self.id);
        let output = self.portal.cli(&self.api, &["exec", &place, "--", "sh", "-c", script]).await?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?.trim().to_owned()),
            false => Err(format!("{script} on {server}: {output:?}").into()),
        }
    }

    /// Sends a server's Syncthing a signal.
    async fn signal(&self, server: &str, signal: &str) -> Outcome {
        let each =
            "for p in /proc/[0-9]*; do if [ \"$(cat $p/comm)\" = syncthing ]; then kill -SIGNAL ${p##*/}; fi; done";
        self.run(server, &each.replace("SIGNAL", signal)).await.map(drop)
    }

    /// Waits until this is true on a server.
    async fn sees(&self, server: &str, condition: &str) -> Outcome {
        let script = format!("until ({condition}) >/dev/null 2>&1; do sleep 0.05; done");
        match tokio::time::timeout(PATIENCE, self.run(server, &script)).await {
            Ok(seen) => seen.map(drop),
            Err(_) => {
                let there = self.run(server, "find /files -not -path '*/.bookend/sync/*'").await?;
                let now = self.api.environment(&self.id).await?;
                Err(format!("{server} never saw {condition}; it has {there}; {:#}", now["volumes"]).into())
            }
        }
    }

    async fn await_standing(&self, standing: &str) -> Outcome<Value> {
        let all = |now: &Value| {
            now["volumes"].as_array().is_some_and(|all| all.iter().all(|one| one["standing"] == standing))
        };
        self.api.await_that(&self.id, standing, all).await
    }

    async fn conflicts(&self) -> Outcome<Vec<String>> {
        let page = self.api.get(&format!("/environments/{}/timeline?limit=200", self.id)).await?.expect_success()?;
        Ok(conflicts(&page))
    }

    async fn end(self) -> Outcome {
        self.api.act(&self.id, "delete").await?;
        self.api.await_state(&self.id, "deleted").await?;
        assert_eq!(leftovers::of_servers(&self.portal), Vec::new());
        Ok(())
    }
}

fn conflicts(timeline: &Value) -> Vec<String> {
    let events = timeline["items"].as_array().into_iter().flatten().filter(|event| event["kind"] == "conflict");
    events.filter_map(|event| Some(event["message"].as_str()?.to_owned())).collect()
}

/// Whether a process has this host name: it is read where the process is.
fn is_of(process: u32, server: &str) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{process}/root/etc/hostname"));
    name.is_ok_and(|name| name.trim() == server)
}
