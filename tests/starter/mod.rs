//! The starter catalog, run for real: every template becomes healthy, its app does its work, and after a park and a resume
//! everything is where it was.

use serde_json::Value;
use tests::{Api, Outcome, Portal};

/// Runs a script on a server; its output.
async fn on(portal: &Portal, api: &Api, server: &str, script: &str) -> Outcome<String> {
    let output = portal.cli(api, &["exec", "-T", server, "--", "sh", "-c", script]).await?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(format!("{script}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

async fn run(portal: &Portal, api: &Api, line: &str) -> Outcome<Value> {
    let words: Vec<&str> = line.split_whitespace().chain(["--wait", "--json"]).collect();
    let output = portal.cli(api, &words).await?;
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout)?),
        false => Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// Fetches a page from inside the server, as a shell script.
fn fetch(port: u16, path: &str, form: Option<&str>) -> String {
    let body = form.map_or("None".to_owned(), |form| format!("b'{form}'"));
    format!(
        "python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}{path}', {body}).read().decode())\""
    )
}

async fn park_and_resume(portal: &Portal, api: &Api, name: &str) -> Outcome {
    assert_eq!(run(portal, api, &format!("park {name}")).await?["state"], "parked");
    assert_eq!(run(portal, api, &format!("resume {name}")).await?["state"], "ready");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_site_keeps_its_notes() -> Outcome {
    let portal = Portal::start().await?;
    let api = portal.administrator().await?;
    let ordered =
        portal.cli(&api, &["order", "site", "--name", "s", "--set", "heading=$(id) <b>'\"", "--wait"]).await?;
    assert!(ordered.status.success(), "{}", String::from_utf8_lossy(&ordered.stderr));
    on(&portal, &api, "s/web", &fetch(8080, "/notes", Some("text=left+here"))).await?;
    park_and_resume(&portal, &api, "s").await?;
    let page = on(&portal, &api, "s/web", &fetch(8080, "/", None)).await?;
    assert!(page.contains("<li>left here</li>"), "{page}");
    assert!(page.contains("<h1>$(id) &lt;b&gt;&#x27;&quot;</h1>"), "attack 16: the heading is what was typed: {page}");
    run(&portal, &api, "delete s --yes").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guest_book_keeps_its_entries_in_postgresql() -> Outcome {
    let portal = Portal::start().await?;
    let api = portal.administrator().await?;
    run(&portal, &api, "order postgres-app --name p").await?;
    on(&portal, &api, "p/web", &fetch(8080, "/", Some("text=signed"))).await?;
    park_and_resume(&portal, &api, "p").await?;
    let page = on(&portal, &api, "p/web", &fetch(8080, "/", None)).await?;
    assert!(page.contains("signed"), "{page}");
    let count = on(&portal, &api, "p/db", "psql --dbname=app -tAc 'select count(*) from entry'").await?;
    assert_eq!(count.trim(), "1");
    run(&portal, &api, "delete p --yes").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_job_goes_on_where_it_was() -> Outcome {
    let portal = Portal::start().await?;
    let api = portal.administrator().await?;
    run(&portal, &api, "order queue --name q --set workers=2").await?;
    on(&portal, &api, "q/web", &fetch(8080, "/", Some("upto=90000000"))).await?;
    let reached = async || -> Outcome<i64> {
        let jobs: Value = serde_json::from_str(&on(&portal, &api, "q/queue", &fetch(8090, "/jobs", None)).await?)?;
        jobs[0]["reached"].as_i64().ok_or_else(|| format!("no job: {jobs}").into())
    };
    let mut before = 0;
    while before == 0 {
        before = reached().await?;
    }
    park_and_resume(&portal, &api, "q").await?;
    let after = reached().await?;
    assert!(after >= before, "from {before} back to {after}");
    while reached().await? <= after {}
    run(&portal, &api, "delete q --yes").await?;
    Ok(())
}
