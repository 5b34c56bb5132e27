//! The same in a bucket, on somebody else's server that speaks S3 and checks signatures, which goes away and comes back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tests::{Api, Outcome, Portal, Setting};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{PASSWORD, await_repository, exported, kept, restic, said, sh};

/// The only keys that the server knows.
pub(super) const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "S3RVER"), ("AWS_SECRET_ACCESS_KEY", "S3RVER")];
const MUCH: &str = "head -c 96M /dev/urandom > /site/much && sha256sum /site/much";

struct Server {
    program: PathBuf,
    home: tempfile::TempDir,
    port: String,
    process: Child,
}

impl Server {
    /// `None` when the tests were given none.
    async fn start() -> Outcome<Option<Server>> {
        let Some(program) = std::env::var_os("BOOKEND_TEST_S3").map(PathBuf::from) else { return Ok(None) };
        let home = tempfile::Builder::new().prefix("bookend-bucket-").tempdir()?;
        let (process, port) = run(&program, home.path(), "0").await?;
        Ok(Some(Server { program, home, port, process }))
    }

    async fn go_away(&mut self) -> Outcome {
        self.process.kill().await?;
        Ok(())
    }

    async fn come_back(&mut self) -> Outcome {
        (self.process, _) = run(&self.program, self.home.path(), &self.port).await?;
        Ok(())
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn portal(&self) -> Outcome<Portal> {
        let options = ["--repository", "s3://books/of/bookend", "--repository-endpoint", &self.endpoint()];
        let mut setting = Setting::new()?.options(&options).variable("BOOKEND_REPOSITORY_PASSWORD", PASSWORD);
        for (name, value) in KEYS {
            setting = setting.variable(name, value);
        }
        setting.start().await
    }

    /// Files of the repository's data; the server keeps an object in several.
    fn packs(&self) -> usize {
        let mut pending = vec![self.home.path().join("books/of/bookend/data")];
        let mut found = 0;
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    true => pending.push(entry.path()),
                    false => found += 1,
                }
            }
        }
        found
    }
}

async fn run(program: &Path, home: &Path, port: &str) -> Outcome<(Child, String)> {
    let mut command = Command::new(program);
    command.args(["--address", "127.0.0.1", "--port", port, "--configure-bucket", "books", "--directory"]).arg(home);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(process.stdout.take().ok_or("no output")?).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, port)) = line.rsplit_once(':').filter(|_| line.contains("listening")) {
            let port = port.trim().to_owned();
            // It goes on to say what it is asked for; a full pipe would hold it up.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((process, port));
        }
    }
    Err("the S3 server ended".into())
}

async fn check(server: &Server) -> Outcome {
    let place = format!("s3:{}/books/of/bookend", server.endpoint());
    restic(&place, &["check", "--read-data"]).await.map(drop)
}

async fn await_import(api: &Api, what: &str, is: impl Fn(&Value) -> bool) -> Outcome<Value> {
    await_repository(api, what, |view| is(&view["imports"][0])).await
}

#[tokio::test]
async fn a_repository_in_a_bucket_is_exported_to_checked_and_imported_from_though_its_server_goes_away() -> Outcome {
    let Some(mut server) = Server::start().await? else { return Ok(()) };
    let first = server.portal().await?;
    let ann = first.administrator().await?;
    let snapshot = kept(&first, &ann, "shop", "echo first > /site/word").await?;
    exported(&first, &ann, "shop", &snapshot).await?;
    check(&server).await?;

    // Away in the middle of much, and back.
    let sum = sh(&first, &ann, "shop", MUCH).await?;
    let before = server.packs();
    said(&first, &ann, &["snapshot", "create", "shop", "--wait"]).await?;
    while server.packs() == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.go_away().await?;
    let ended = |all: &Value| matches!(all[0]["export"]["state"].as_str(), Some("failed" | "exported"));
    let all = ann.await_below("shop", "/snapshots", "an export that ended", ended).await?;
    if all[0]["export"]["state"] == "failed" {
        let why = all[0]["export"]["failure"].as_str().unwrap_or_default();
        assert!(why.contains("could not") && why.contains(&server.port), "{why}");
        await_repository(&ann, "in trouble", |view| view["trouble"].is_string()).await?;
    }
    assert_eq!(ann.environment("shop").await?["state"], "ready");
    assert_eq!(sh(&first, &ann, "shop", "cat /site/word").await?, "first\n");
    server.come_back().await?;
    let view = exported(&first, &ann, "shop", "latest").await?;
    let name = view["export"]["repository_snapshot"].as_str().ok_or("no name")?.to_owned();
    await_repository(&ann, "well", |view| view["trouble"].is_null() && view["exported"] == 2).await?;
    check(&server).await?;
    ann.act("shop", "delete").await?;
    drop(first);

    // Another portal, and the server is away when it begins.
    let second = server.portal().await?;
    let ben = second.administrator().await?;
    said(&second, &ben, &["snapshot", "import", &name, "--name", "again"]).await?;
    server.go_away().await?;
    let tried = |import: &Value| import["failure"].is_string() || import["state"] == "imported";
    let view = await_import(&ben, "an import that ended", tried).await?;
    if view["imports"][0]["state"] != "imported" {
        assert_eq!(view["imports"][0]["state"], "wanted", "it is tried again: {view:#}");
    }
    server.come_back().await?;
    await_import(&ben, "imported", |import| import["state"] == "imported").await?;
    ben.await_state("again", "ready").await?;
    assert_eq!(sh(&second, &ben, "again", "sha256sum /site/much").await?, sum);
    ben.act("again", "delete").await?;
    Ok(())
}
