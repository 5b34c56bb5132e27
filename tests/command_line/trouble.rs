//! Wrong input and trouble: a clear message, the documented exit code, and nothing changed.

use std::net::SocketAddr;

use serde_json::Value;
use tests::{Api, Outcome, Portal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Person, Ran};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_ends_with_the_documented_code_and_changes_nothing() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    for (line, code, told) in [
        ("show nothing-here", 3, "nothing-here"),
        ("park nothing-here", 3, "nothing-here"),
        ("catalog nothing-here", 3, "nothing-here"),
        ("order nothing-here", 3, "nothing-here"),
        ("show ../me", 3, "../me"),
        ("delete nothing-here --yes", 3, "nothing-here"),
        ("logs nothing-here", 3, "nothing-here"),
        ("forward nothing-here/web 80", 3, "nothing-here"),
        ("exec nothing-here/web -- true", 125, "nothing-here"),
        ("token revoke nothing-here", 3, "nothing-here"),
        ("order scratch --name Not_A_Name", 4, "name"),
        ("order scratch --set color=blue", 4, "color"),
        ("order scratch --version 99", 3, "99"),
        ("order queue --set workers=99", 4, "workers"),
        ("order scratch --set a=1 --set a=2", 2, "twice"),
        ("order scratch --set-file a=/no/such/file", 2, "/no/such/file"),
        ("list --state sleeping", 4, "sleeping"),
        ("frobnicate", 2, "frobnicate"),
    ] {
        let ran = ann.runs(line).await?.ended_with(code);
        assert!(ran.err.contains(told), "{line}: {}", ran.err);
        assert!(ran.out.is_empty(), "{line}: {}", ran.out);
    }
    let items = ann.runs("list --json").await?.ended_with(0).json();
    assert_eq!(items["items"], Value::Array(Vec::new()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_json_when_results_are() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    let ran = ann.runs("show nothing-here --json").await?.ended_with(3);
    let error: Value = serde_json::from_str(&ran.err)?;
    assert_eq!((&error["status"], &error["code"]), (&404.into(), &"not_found".into()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_signed_in_is_told_how() -> Outcome {
    let portal = Portal::start().await?;
    for token in ["", "bkd_wrong", "not a token"] {
        let api = Api::new(portal.address, token)?;
        let mut command = portal.client_command(&api, &["list"]);
        // Nobody's credentials lie around here.
        command.env("XDG_CONFIG_HOME", portal.scratch());
        let ran = Ran::of(command.output().await?).ended_with(5);
        assert!(ran.err.contains("bookend login"), "{}", ran.err);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_is_not_there_is_said_so() -> Outcome {
    let mut portal = Portal::start().await?;
    let api = portal.administrator().await?;
    portal.stop().await?;
    let ran = Ran::of(portal.cli(&api, &["list"]).await?).ended_with(7);
    assert!(ran.err.contains("cannot be reached"), "{}", ran.err);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_is_lost_is_told_again_and_taken_once() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    let between = TcpListener::bind("127.0.0.1:0").await?;
    let far = Api::new(between.local_addr()?, ann.api.token())?;
    let order = portal.cli(&far, &["order", "scratch", "--name", "once", "--wait"]);
    let ran = tokio::select! {
        ran = order => Ran::of(ran?).ended_with(0),
        broken = lose_the_first_answer(&between, portal.address) => return broken,
    };
    assert!(ran.out.contains("once: ready"), "{}", ran.out);
    assert_eq!(ann.runs("list --json").await?.json()["items"].as_array().map(Vec::len), Some(1));
    ann.runs("delete once --yes --wait").await?.ended_with(0);
    Ok(())
}

async fn lose_the_first_answer(between: &TcpListener, portal: SocketAddr) -> Outcome {
    let (near, _) = between.accept().await?;
    let taken = hear_and_say_nothing(near, portal).await?;
    assert!(taken.starts_with("HTTP/1.1 201"), "the portal had taken it: {taken}");
    loop {
        let (mut near, _) = between.accept().await?;
        let mut far = TcpStream::connect(portal).await?;
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
    }
}

/// Passes a request on to the portal, reads its answer and closes without passing it on.
async fn hear_and_say_nothing(mut near: TcpStream, portal: SocketAddr) -> std::io::Result<String> {
    let mut portal = TcpStream::connect(portal).await?;
    let mut answer = Vec::new();
    let (mut question, mut far) = (vec![0; 65536], vec![0; 65536]);
    while !String::from_utf8_lossy(&answer).contains("\r\n\r\n") {
        tokio::select! {
            read = near.read(&mut question) => portal.write_all(&question[..read?]).await?,
            read = portal.read(&mut far) => answer.extend_from_slice(&far[..read?]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_asks_a_person_and_nobody_else() -> Outcome {
    let portal = Portal::start().await?;
    let ann = Person::at(&portal).await?;
    ann.runs("order scratch --name keep --wait").await?.ended_with(0);
    let ran = ann.runs("delete keep").await?.ended_with(2);
    assert!(ran.err.contains("--yes"), "{}", ran.err);
    assert_eq!(ann.runs("show keep --json").await?.json()["state"], "ready");
    ann.runs("delete keep --yes --wait").await?.ended_with(0);
    Ok(())
}
