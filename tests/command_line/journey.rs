//! From an order to its end, by commands alone.

use std::process::Stdio;

use serde_json::Value;
use tests::{Outcome, Portal};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Person;

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_ordered_used_parked_resumed_and_deleted() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    let catalog = ann.runs("catalog --json").await?.ended_with(0).json();
    assert!(catalog["items"].as_array().is_some_and(|items| items.iter().any(|item| item["name"] == "scratch")));

    let ordered = ann.runs("order scratch --name mine --wait --json").await?.ended_with(0).json();
    assert_eq!((&ordered["name"], &ordered["state"]), (&"mine".into(), &"ready".into()));
    let list = ann.runs("list --json").await?.ended_with(0).json();
    assert_eq!(list["items"][0]["name"], "mine");
    let shown = ann.runs("show mine --json").await?.ended_with(0).json();
    assert_eq!((&shown["servers"][0]["name"], &shown["servers"][0]["state"]), (&"box".into(), &"ready".into()));
    assert!(ann.runs("list").await?.out.contains("mine"));
    assert!(ann.runs("show mine").await?.out.contains("box"));

    for (action, state) in [("park", "parked"), ("resume", "ready"), ("restart", "ready")] {
        let now = ann.runs(&format!("{action} mine --wait --json")).await?.ended_with(0).json();
        assert_eq!(now["state"], state, "{action}");
    }
    let gone = ann.runs("delete mine --yes --wait --json").await?.ended_with(0).json();
    assert_eq!(gone["state"], "deleted");
    assert_eq!(ann.runs("list --json").await?.json()["items"], Value::Array(Vec::new()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_passes_everything_through_as_it_is() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    ann.runs("order scratch --name e --wait").await?.ended_with(0);
    let run = async |words: &[&str], input: &[u8]| {
        let words: Vec<&str> = ["exec", "e/box"].iter().chain(words).copied().collect();
        ann.runs_with_input(&words, input).await
    };
    assert_eq!(run(&["--", "echo", "a  b", "$HOME", "'"], b"").await?.ended_with(0).out, "a  b $HOME '\n", "no shell");
    run(&["--", "sh", "-c", "exit 42"], b"").await?.ended_with(42);
    run(&["--", "sh", "-c", "kill -TERM $$"], b"").await?.ended_with(143);
    let both = run(&["--", "sh", "-c", "echo out; echo err >&2"], b"").await?.ended_with(0);
    assert_eq!((both.out.as_str(), both.err.as_str()), ("out\n", "err\n"));
    let input: Vec<u8> = (0..300_000u32).flat_map(u32::to_be_bytes).collect();
    let sum = run(&["--", "sha256sum"], &input).await?.ended_with(0);
    assert!(sum.out.starts_with(&sha256(&input)), "1.2 MB of any bytes arrive, and their end");
    assert_eq!(
        run(&["--env", "A=x y", "--directory", "/tmp", "--", "sh", "-c", "echo $A; pwd"], b"").await?.out,
        "x y\n/tmp\n"
    );
    let tty = run(&["-t", "--", "sh", "-c", "test -t 0 && test -t 1 && echo terminal"], b"").await?.ended_with(0);
    assert_eq!(tty.out, "terminal\r\n");
    let missing = run(&["--", "no-such-command"], b"").await?;
    assert!([125, 127].contains(&missing.code) && !missing.err.is_empty(), "{} {}", missing.code, missing.err);
    ann.runs("exec e/nobody -- true").await?.ended_with(125);
    ann.runs("delete e --yes --wait").await?.ended_with(0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_forwarded_and_logs_are_read() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    ann.runs("order site --name s --wait").await?.ended_with(0);
    let mut forwarding = ann
        .portal
        .client_command(&ann.api, &["forward", "s/web", "8080:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(forwarding.stdout.take().ok_or("no output")?).lines();
    let address = lines.next_line().await?.ok_or("no address was said")?;
    for (path, expected) in [("/", "<h1>Notes</h1>"), ("/", "<h1>Notes</h1>"), ("/nothing-here", "404")] {
        let mut connection = TcpStream::connect(&address).await?;
        connection.write_all(format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").as_bytes()).await?;
        let mut page = String::new();
        connection.read_to_string(&mut page).await?;
        assert!(page.contains(expected), "{page}");
    }
    forwarding.kill().await?;

    let mut following = ann
        .portal
        .client_command(&ann.api, &["logs", "s", "-f"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(following.stdout.take().ok_or("no output")?).lines();
    let line = loop {
        let line = lines.next_line().await?.ok_or("the log has ended")?;
        if line.contains("\"GET /nothing-here HTTP/1.0\" 404") {
            break line;
        }
    };
    following.kill().await?;
    assert!(line.starts_with("web/web: "), "{line}");
    let all = ann.runs("logs s").await?.ended_with(0).out;
    assert!(all.contains(&line), "what was shown is kept: {all}");
    assert!(!ann.runs("logs s/api").await?.out.contains("nothing-here"), "only of that server");
    ann.runs("delete s --yes --wait").await?.ended_with(0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_survives_a_restart_of_the_portal() -> Outcome {
    let mut portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    let mut command = ann.portal.client_command(&ann.api, &["order", "site", "--name", "w", "--wait", "--json"]);
    let waiting = tokio::spawn(command.output());
    // Once it is in the list the order is confirmed, and its servers are about to come.
    while ann.runs("list --json").await?.json()["items"].as_array().is_none_or(Vec::is_empty) {}
    let api = ann.api.clone();
    portal.crash().await?;
    let output = waiting.await??;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout)?["state"], "ready");
    portal.cli(&api, &["delete", "w", "--yes", "--wait"]).await?;
    Ok(())
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
