//! The command line as people and scripts use it: the real program against a real portal.

mod data;
mod doctor;
mod files;
mod help;
mod journey;
mod provisioners;
mod shell;
mod template;
mod trouble;

use std::process::{Output, Stdio};

use serde_json::Value;
use tests::{Api, Outcome, Portal};
use tokio::io::AsyncWriteExt;

/// A finished command.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

/// Somebody at a command line.
struct Person<'a> {
    portal: &'a Portal,
    api: Api,
}

impl<'a> Person<'a> {
    async fn at(portal: &'a Portal) -> Outcome<Self> {
        Ok(Self { portal, api: portal.administrator().await? })
    }

    async fn runs(&self, line: &str) -> Outcome<Ran> {
        let words: Vec<&str> = line.split_whitespace().collect();
        Ok(Ran::of(self.portal.cli(&self.api, &words).await?))
    }

    async fn runs_with_input(&self, words: &[&str], input: &[u8]) -> Outcome<Ran> {
        let mut command = self.portal.client_command(&self.api, words);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = process.stdin.take().ok_or("no standard input")?;
        let input = input.to_vec();
        let writing = tokio::spawn(async move {
            // A command that does not read its input ends before it is written.
            let _ = stdin.write_all(&input).await;
        });
        let output = process.wait_with_output().await?;
        writing.await?;
        Ok(Ran::of(output))
    }
}
