//! An agent on a machine of its own, far from its portal: through a proxy, by TLS that an authority of its own vouches for, over
//! restarts of everything.

mod elsewhere;
mod papers;

use sha2::{Digest, Sha256};
use tests::{Outcome, Portal, Setting, programs};

use elsewhere::{Elsewhere, Machine};

/// A server that says how often it was set up and started, and serves its home.
fn template(port: u16) -> String {
    format!(
        r#"
name: far
version: "1"
title: Far
summary: Far away.
description: Far away.
category: Test
servers:
  box:
    setup: echo set up >> "$HOME/setups"
    startup: echo started >> "$HOME/starts"
    services:
      pages:
        command: echo pages are served; exec python3 -m http.server {port} --bind 127.0.0.1 --directory "$HOME"
    checks:
      pages: {{tcp: {port}, interval: 100ms}}
"#
    )
}

async fn far_portal(port: u16) -> Outcome<Portal> {
    Setting::new()?.template("far", &template(port))?.start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_a_proxy_and_tls_is_like_one_beside_the_portal_whatever_is_killed() -> Outcome {
    let port = elsewhere::free_port()?;
    let mut portal = far_portal(port).await?;
    let api = portal.administrator().await?;
    let machine = Machine::taking_the_place_of_a_local_server(&mut portal, &api, "far", "mine").await?;
    let way = Elsewhere::open(portal.address).await?;
    let agent = machine.boot(&way).await?;
    machine.until_enrolled().await?;
    api.await_state("mine", "ready").await?;
    assert!(way.connections() >= 1, "it came through the proxy");

    // What a person does with a server.
    let home = machine.home().display().to_string();
    let told = portal.cli(&api, &["exec", "mine/box", "--", "sh", "-c", "echo $HOME; cat $HOME/setups"]).await?;
    assert_eq!(String::from_utf8(told.stdout)?, format!("{home}\nset up\n"));
    assert!(elsewhere::page(&portal, &api, "mine", port).await?.contains("setups"));
    assert!(elsewhere::terminal(&portal, &api, "mine", "echo $((6*7))ok\r").await?.contains("42ok"));
    machine.until_logged(&api, "mine", "pages are served").await?;

    // A portal that is killed finds it again, and nothing there has noticed.
    portal.crash().await?;
    let starts = elsewhere::read_by_exec(&portal, &api, "mine", "starts").await?;
    assert_eq!(starts, "started\n");
    assert!(elsewhere::page(&portal, &api, "mine", port).await?.contains("setups"));

    // So does everything between them.
    way.cut();
    assert_eq!(elsewhere::read_by_exec(&portal, &api, "mine", "setups").await?, "set up\n");

    // The machine boots again: what it was is on its disk, and a token is neither there nor needed.
    drop(agent);
    assert!(!std::fs::read_to_string(machine.home().join("identity"))?.contains("enrolment"));
    let _agent = machine.boot(&way).await?;
    api.await_that("mine", "started again", |_| elsewhere::lines(&machine.home().join("starts")) == 2).await?;
    api.await_state("mine", "ready").await?;
    assert_eq!(elsewhere::read_by_exec(&portal, &api, "mine", "setups").await?, "set up\n", "set up once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_27_a_copy_of_a_disk_and_a_token_that_was_used_speak_for_nobody() -> Outcome {
    let mut portal = far_portal(elsewhere::free_port()?).await?;
    let api = portal.administrator().await?;
    let machine = Machine::taking_the_place_of_a_local_server(&mut portal, &api, "far", "mine").await?;
    let way = Elsewhere::open(portal.address).await?;
    let thief = machine.copy()?;
    let _agent = machine.boot(&way).await?;
    machine.until_enrolled().await?;

    // Made before the first boot: the token is in it.
    let refused = thief.boot_to_its_end(&way).await?;
    assert!(refused.contains("the enrolment token is wrong or used"), "{refused}");
    // Made after it, of everything: to another server this is nothing.
    let mut copy = machine.copy()?;
    copy.change_identity(|identity| identity["server"] = "0198c0de-0000-7000-8000-000000000000".into())?;
    let refused = copy.boot_to_its_end(&way).await?;
    assert!(refused.contains("no such server"), "{refused}");
    copy.change_identity(|identity| {
        identity["server"] = machine.server.clone().into();
        identity["generation"] = 2.into();
    })?;
    let refused = copy.boot_to_its_end(&way).await?;
    assert!(refused.contains("this server has been replaced"), "{refused}");
    copy.change_identity(|identity| identity["generation"] = 1.into())?;
    let refused = copy.boot_to_its_end(&way).await?;
    assert!(refused.contains("wrong or used"), "what it once was it has thrown away: {refused}");
    // The true one was not disturbed by any of them.
    assert!(elsewhere::read_by_exec(&portal, &api, "mine", "setups").await?.contains("set up"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_portal_is_away_everything_goes_on_and_is_brought_to_the_disks() -> Outcome {
    let port = elsewhere::free_port()?;
    let mut portal = far_portal(port).await?;
    let api = portal.administrator().await?;
    let mut machine = Machine::taking_the_place_of_a_local_server(&mut portal, &api, "far", "mine").await?;
    machine.change_identity(|identity| identity["away_after_ms"] = 100.into())?;
    let way = Elsewhere::open(portal.address).await?;
    let _agent = machine.boot(&way).await?;
    machine.until_enrolled().await?;
    api.await_state("mine", "ready").await?;
    portal.kill().await?;
    machine.until_noted("Everything goes on").await?;
    let answer = reqwest::Client::builder().no_proxy().build()?.get(format!("http://127.0.0.1:{port}/setups"));
    assert_eq!(answer.send().await?.text().await?, "set up\n", "its service goes on");
    portal.start_again().await?;
    machine.until_logged(&api, "mine", "the portal can be reached again").await?;
    assert_eq!(elsewhere::read_by_exec(&portal, &api, "mine", "starts").await?, "started\n");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_servers_are_stands_in_their_hosts() -> Outcome {
    let mut portal = far_portal(elsewhere::free_port()?).await?;
    let api = portal.administrator().await?;
    let machine = Machine::taking_the_place_of_a_local_server(&mut portal, &api, "far", "mine").await?;
    let hosts = machine.home().join("hosts");
    std::fs::write(&hosts, "127.0.0.1 localhost\n")?;
    machine.set_address(&portal, "172.31.7.8").await?;
    let way = Elsewhere::open(portal.address).await?;
    let _agent = machine.boot(&way).await?;
    machine.until_enrolled().await?;
    api.await_state("mine", "ready").await?;
    let text = std::fs::read_to_string(&hosts)?;
    assert!(text.starts_with("127.0.0.1 localhost\n") && text.contains("\n172.31.7.8 box\n"), "{text}");
    let told = portal.cli(&api, &["exec", "mine/box", "--", "printenv", "BOOKEND_ADDRESS"]).await?;
    assert_eq!(String::from_utf8(told.stdout)?, "172.31.7.8\n");
    Ok(())
}

#[tokio::test]
async fn the_agents_program_is_fetched_by_its_checksum_and_no_page_can_link() -> Outcome {
    let portal = Portal::start().await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let program = std::fs::read(programs::dist().join("bookend-agent"))?;
    let sha256: String = Sha256::digest(&program).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = format!("/agent/{sha256}/bookend-agent");
    // By a name that people do not know.
    let fetched = http.get(portal.url(&path)).header("host", "portal.internal").send().await?;
    assert_eq!(fetched.status(), 200);
    let header =
        |name: &str| fetched.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(header("content-length"), program.len().to_string());
    assert!(header("cache-control").contains("immutable"), "{:?}", fetched.headers());
    assert!(fetched.bytes().await? == program);
    assert_eq!(http.head(portal.url(&path)).send().await?.status(), 200);
    let other = format!("/agent/{}/bookend-agent", "0".repeat(64));
    for nowhere in [other.as_str(), "/agent/..%2F..%2Finstallation.key/bookend-agent", "/agent/a/bookend-agent"] {
        assert_eq!(http.get(portal.url(nowhere)).send().await?.status(), 404, "{nowhere}");
    }
    assert_eq!(http.get(portal.url("/api/v1/me")).header("host", "portal.internal").send().await?.status(), 421);

    let handshake = |origin: Option<&str>| {
        let mut request = http.get(portal.url("/agent/link")).header("host", "portal.internal");
        for (name, value) in [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            request = request.header(name, value);
        }
        match origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        }
    };
    assert_eq!(handshake(None).send().await?.status(), 101);
    for origin in [portal.url(""), "https://evil.example".into(), "null".into()] {
        assert_eq!(handshake(Some(&origin)).send().await?.status(), 403, "{origin}");
    }
    assert_eq!(http.get(portal.url("/agent/link")).send().await?.status(), 426);
    Ok(())
}
