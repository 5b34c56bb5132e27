//! The commands about data in a stranger's hands: wrong input ends with a clear word, the documented code, and nothing changed;
//! what is broken off leaves nothing half done.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tests::{Outcome, Portal};
use tokio::io::AsyncWriteExt;

use super::{Person, Ran};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_about_data_is_told_and_changes_nothing() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    ann.runs("order site --name shop --wait").await?.ended_with(0);
    ann.runs_with_input(&["cp", "-", "shop:site/tree/word"], b"first").await?.ended_with(0);
    ann.runs("snapshot create shop --label one --wait").await?.ended_with(0);
    ann.runs_with_input(&["cp", "-", "shop:site/tree/word"], b"second").await?.ended_with(0);
    let before = ann.runs("snapshot list shop --json").await?.ended_with(0).json();
    for (line, code, told) in [
        ("clone nothing-here", 3, "nothing-here"),
        ("clone shop --snapshot nothing", 3, "nothing"),
        ("clone shop --name Not_A_Name", 4, "name"),
        ("clone shop --for nobody-at-all", 4, "nobody of your team"),
        ("clone shop --set nothing=1", 4, "nothing"),
        ("change nothing-here --version 1.0.0", 3, "nothing-here"),
        ("change shop", 2, "--version"),
        ("change shop --set nothing=1", 4, "nothing"),
        ("change shop --version 9.9", 3, "There is no version “9.9” of “site”"),
        ("restore nothing-here latest", 3, "nothing-here"),
        ("restore shop", 2, "SNAPSHOT"),
        ("restore shop nothing", 3, "nothing"),
        ("restore shop ../../me", 3, "../../me"),
        ("undelete nothing-here", 3, "nothing-here"),
        ("undelete shop", 4, "not deleted"),
        ("snapshot create nothing-here", 3, "nothing-here"),
        ("snapshot create shop --timeout 3", 2, "--wait"),
        ("snapshot list nothing-here", 3, "nothing-here"),
        ("snapshot label shop latest", 2, "LABEL"),
        ("snapshot diff shop latest nothing", 3, "nothing"),
        ("snapshot import", 4, "--repository"),
        ("snapshot import abc", 2, "--name"),
        ("snapshot export shop latest", 4, "--repository"),
        ("cp shop:site/nowhere .", 3, "nowhere"),
        ("cp nothing-here:site/a .", 3, "nothing-here"),
        ("cp shop@nothing:site/tree/word .", 3, "nothing"),
        ("cp /no/such/file shop:site/", 1, "/no/such/file"),
        ("cp /etc/hostname shop:site/../../outside", 4, "“..” is not a file's name"),
        ("cp /etc/hostname shop:site/tree/word/deeper", 4, "not a directory"),
        ("cp /etc/hostname shop@latest:site/", 2, "a snapshot does not change"),
        ("cp shop:site/tree/word /no/such/folder/x", 1, "/no/such/folder/x"),
        ("cp - shop:site/tree/", 2, "needs a name"),
        ("cp shop:site/tree/word shop:site/other", 2, "in a snapshot"),
        ("cp shop@latest:site/tree shop:site/tree", 2, "--recursive"),
        ("cp shop@latest:site shop:site", 2, "bookend restore shop latest"),
        ("cp shop@latest:site/tree/word other:site/", 2, "its own volume"),
        ("cp -n shop@latest:site/tree/word shop:site/tree/word", 4, "already"),
    ] {
        let ran = ann.runs(line).await?.ended_with(code);
        assert!(ran.err.contains(told), "{line}: {}", ran.err);
        assert!(ran.out.is_empty(), "{line}: {}", ran.out);
    }
    for command in ["show", "verify", "diff", "delete", "pin", "unpin", "export"] {
        let ran = ann.runs(&format!("snapshot {command} shop nothing")).await?.ended_with(3);
        assert!(ran.err.contains("There is no snapshot “nothing”"), "{command}: {}", ran.err);
        ann.runs(&format!("snapshot {command} nothing-here latest")).await?.ended_with(3);
        let json = ann.runs(&format!("snapshot {command} shop nothing --json")).await?.ended_with(3);
        let error: Value = serde_json::from_str(&json.err)?;
        assert_eq!(error["code"], "not_found", "{command}");
    }
    let long = "x".repeat(101);
    let ran = Ran::of(portal.cli(&ann.api, &["snapshot", "label", "shop", "latest", &long]).await?).ended_with(4);
    assert!(ran.err.contains("100 characters"), "{}", ran.err);
    assert_eq!(ann.runs("snapshot list shop --json").await?.json(), before);
    assert_eq!(ann.runs("cp shop:site/tree/word -").await?.ended_with(0).out, "second");
    assert_eq!(ann.runs("list --json").await?.json()["items"].as_array().map(Vec::len), Some(1));
    ann.runs("delete shop --yes --wait").await?.ended_with(0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_gets_another_label_and_gives_single_files_straight_back() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    ann.runs("order site --name shop --wait").await?.ended_with(0);
    for (path, word) in [("tree/word", "first"), ("tree/other", "other")] {
        ann.runs_with_input(&["cp", "-", &format!("shop:site/{path}")], word.as_bytes()).await?.ended_with(0);
    }
    ann.runs("snapshot create shop --label one --wait").await?.ended_with(0);
    let words = ["snapshot", "label", "shop", "latest", "before lunch"];
    let labelled = Ran::of(portal.cli(&ann.api, &words).await?).ended_with(0);
    assert!(labelled.out.contains("is called “before lunch”"), "{}", labelled.out);
    assert_eq!(ann.runs("snapshot show shop latest --json").await?.json()["label"], "before lunch");

    let now = async |path: &str| -> Outcome<String> {
        Ok(ann.runs(&format!("cp shop:site/{path} -")).await?.ended_with(0).out)
    };
    ann.runs_with_input(&["cp", "-", "shop:site/tree/word"], b"second").await?.ended_with(0);
    ann.runs_with_input(&["cp", "-", "shop:site/tree/newer"], b"newer").await?.ended_with(0);
    ann.runs("cp shop@latest:site/tree/word shop:site/").await?.ended_with(0);
    assert_eq!((now("word").await?, now("tree/word").await?), ("first".into(), "second".into()));
    let back = ann.runs("cp shop@latest:site/tree/word shop:site/tree").await?.ended_with(0);
    assert_eq!((back.out.as_str(), now("tree/word").await?.as_str()), ("tree/word is back\n", "first"));
    ann.runs("cp -n shop@latest:site/tree/word shop:site/deep/er/name").await?.ended_with(0);
    assert_eq!(now("deep/er/name").await?, "first");
    ann.runs("cp -r shop@latest:site/tree shop:site/tree").await?.ended_with(0);
    assert_eq!(now("tree/other").await?, "other");
    ann.runs("cp shop:site/tree/newer -").await?.ended_with(3);
    ann.runs("delete shop --yes --wait").await?.ended_with(0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_interrupted_leaves_nothing_half_done() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    ann.runs("order site --name shop --wait").await?.ended_with(0);
    // Large enough to be on its way for a while, and nothing on the disk.
    ann.runs("exec shop/api -- truncate -s 100G /site/large").await?.ended_with(0);
    let place = tempfile::tempdir()?;
    for words in [["cp", "shop:site/large"], ["cp", "-r"]] {
        let to = place.path().display().to_string();
        let mut words = words.to_vec();
        if words[1] == "-r" {
            words.push("shop:site");
        }
        words.push(&to);
        let mut command = portal.client_command(&ann.api, &words);
        let copying = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let process = copying.id().and_then(|id| Pid::from_raw(id.cast_signed())).ok_or("it ended at once")?;
        until(|| parts(place.path()) > 0).await?;
        kill_process(process, Signal::INT)?;
        let ran = Ran::of(copying.wait_with_output().await?).ended_with(130);
        assert!(ran.err.contains("interrupted"), "{}", ran.err);
        assert_eq!(parts(place.path()), 0, "{words:?}");
        assert!(!place.path().join("large").exists() && !place.path().join("site/large").exists());
    }

    let mut command = portal.client_command(&ann.api, &["cp", "-", "shop:site/new/half"]);
    let mut sending = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut input = sending.stdin.take().ok_or("no standard input")?;
    input.write_all(&vec![b'x'; 1 << 20]).await?;
    let volumes = portal.data_directory().join("local/environments");
    until(|| staged(&volumes)).await?;
    let process = sending.id().and_then(|id| Pid::from_raw(id.cast_signed())).ok_or("it ended at once")?;
    kill_process(process, Signal::TERM)?;
    Ran::of(sending.wait_with_output().await?).ended_with(130);
    drop(input);
    until(|| !staged(&volumes)).await?;
    ann.runs("cp shop:site/new/half -").await?.ended_with(3);
    ann.runs("exec shop/api -- test -e /site/new").await?.ended_with(1);
    ann.runs("delete shop --yes --wait").await?.ended_with(0);
    Ok(())
}

/// Files that are not finished.
fn parts(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let count = |entry: std::fs::DirEntry| match entry.path() {
        path if path.is_dir() => parts(&path),
        path => usize::from(path.extension().is_some_and(|extension| extension == "part")),
    };
    entries.map(count).sum()
}

/// Whether something is on its way into a volume.
fn staged(volumes: &std::path::Path) -> bool {
    let entries = std::fs::read_dir(volumes).into_iter().flatten().flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.any(|path| path.ends_with("upload") || (path.is_dir() && !path.ends_with("data") && staged(&path)))
}

/// Waits for what no event announces.
async fn until(is: impl Fn() -> bool) -> Outcome {
    let looking = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    Ok(tokio::time::timeout(Duration::from_secs(60), looking).await?)
}
