//! `bench click`: what we add to Amazon's own time between click and ready.
//!
//! A release portal with its REST API, its database and the provisioner `ec2`, whose endpoint is the fake: Amazon's delays,
//! buckets and describes that show the past. What runs there is played by agents over the real link ([`agents`]). All of it is on
//! the machine's clock. First orders one after the other on a quiet portal: of each, the time that was ours ([`reckoning`]) and
//! after what. Then many at once, beside the least that Amazon's buckets allow.
//!
//! Environments stay until the end, as a portal's do: what runs and is well costs it nothing but looks.

mod agents;
mod amazon;
mod reckoning;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use fake_ec2::{Optimum, Rules};

use self::agents::{BOOT, Lives, WORK};
use self::amazon::{Amazon, Call};
use self::reckoning::{Others, Ours, ours};
use crate::Outcome;
use crate::order::placing;
use crate::portal::Portal;
use crate::times::Times;

const TEMPLATE: &str = "click";
const AIM_P50: Duration = Duration::from_millis(300);
/// The name of the provisioner.
const AMAZON: &str = "amazon";
/// Picks the fake's first account; what goes with it is not looked at.
const ACCESS_KEY: &str = "AKIAFAKEOURS";
/// Calls that nothing waits for.
const BESIDE: [&str; 2] = ["CreateTags", "AssumeRole"];
/// Until all buckets are full.
const REST: Duration = Duration::from_secs(30);

const ONE_SERVER_AND_A_VOLUME: &str = r#"
name: click
version: "1.0.0"
title: A box with a volume
summary: What a person waits for.
icon: server
category: Basics
tags: [bench]
maintainer: Bookend
description: One server with a volume.
servers:
  box: {}
volumes:
  data:
    size: 1 GiB
    mounts: {box: /data}
"#;

pub fn bench(dist: &Path, one_by_one: usize, at_once: usize) -> Outcome<()> {
    let failed = |error: std::io::Error| format!("Cannot set the bench up: {error}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(failed)?;
    let amazon = Amazon::new(Rules::lifelike(1));
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).map_err(failed)?;
    let endpoint = format!("http://{}", listener.local_addr().map_err(failed)?);
    runtime.spawn(amazon.clone().serve(listener));
    let lives = Lives::default();
    runtime.spawn(agents::play_all(amazon.fake.clone(), lives.clone()));

    let folder = tempfile::Builder::new().prefix("bookend-click-").tempdir().map_err(failed)?;
    let portal = portal(dist, folder.path(), &endpoint)?;
    let changes = portal.api.changes()?;
    let bench = Bench { amazon, lives, portal };
    let measured = bench.all(&changes, one_by_one, at_once);
    // Agents end before their portal: each would say that it has lost it.
    runtime.shutdown_timeout(REST);
    measured
}

/// With the fake as its only place for environments. Instances have to be told its address before it listens.
fn portal(dist: &Path, folder: &Path, endpoint: &str) -> Outcome<Portal> {
    let failed = |error: std::io::Error| format!("Cannot set the bench up: {error}");
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).map_err(failed)?;
    let templates = folder.join("templates");
    std::fs::create_dir(&templates).map_err(failed)?;
    std::fs::write(templates.join("click.yaml"), ONE_SERVER_AND_A_VOLUME).map_err(failed)?;
    let provisioners = folder.join("provisioners.toml");
    let text = format!(
        "[ec2.{AMAZON}]\nregion = \"eu-central-1\"\nendpoint = \"{endpoint}\"\nportal_url = \"http://{address}\"\n\
         images.host = {{ owner = \"amazon\", name = \"al2023-ami-2023.*-x86_64\" }}\n\
         sizes = [{{ types = [\"t3.small\"] }}]\n"
    );
    std::fs::write(&provisioners, text).map_err(failed)?;
    Portal::start_with(dist, None, &address.to_string(), |serve| {
        serve.arg("--templates").arg(templates).arg("--provisioners").arg(provisioners);
        serve.args(["--default-provisioner", AMAZON, "--no-restore-drills"]);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
            serve.env_remove(name);
        }
        serve.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        serve.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", "is-not-looked-at");
    })
}

struct Bench {
    amazon: Amazon,
    lives: Lives,
    portal: Portal,
}

impl Bench {
    fn all(&self, changes: &Receiver<String>, one_by_one: usize, at_once: usize) -> Outcome<()> {
        self.quiet(changes, one_by_one)?;
        if at_once == 0 {
            return Ok(());
        }
        std::thread::sleep(REST);
        self.together(at_once)
    }

    fn quiet(&self, changes: &Receiver<String>, orders: usize) -> Outcome<()> {
        eprintln!("{orders} orders of a server with a volume, one after the other");
        let (mut total, mut own) = (Times::default(), Times::default());
        let mut after: BTreeMap<String, Times> = BTreeMap::new();
        for number in 0..orders {
            let name = format!("one-{number}");
            self.amazon.take_calls();
            let click = Instant::now();
            let ordered = self.portal.api.order(TEMPLATE, &name)?;
            self.portal.await_state(changes, &ordered, "ready")?;
            let ready = Instant::now();
            let gaps = ours(click, ready, self.others(&name)?);
            let sum = gaps.iter().map(|gap| gap.time).sum();
            eprintln!("{name}: {:.1} s, of which ours {:.0} ms", (ready - click).as_secs_f64(), ms(sum));
            total.add(ready - click);
            own.add(sum);
            let mut by_cause: BTreeMap<String, Duration> = BTreeMap::new();
            gaps.into_iter().for_each(|Ours { after, time }| *by_cause.entry(after).or_default() += time);
            by_cause.into_iter().for_each(|(cause, time)| after.entry(cause).or_default().add(time));
        }
        println!("order on Amazon, click to ready    {total}");
        println!("of it ours                         {own}");
        for (cause, times) in &after {
            println!("  after {cause:<27}  {times}");
        }
        let met = own.quantile(0.50) <= AIM_P50;
        println!("aim p50 ≤ {AIM_P50:?} of ours: {}\n", if met { "met" } else { "missed" });
        Ok(())
    }

    /// What was under way for the one environment that was ordered.
    fn others(&self, environment: &str) -> Outcome<Vec<Others>> {
        let life = self.lives.of(environment).ok_or_else(|| format!("{environment} is ready and no agent said so."))?;
        let of = |from, to, then: &str| Others { from, to, then: then.to_owned() };
        let calls: Vec<Call> = self.amazon.take_calls();
        let calls = calls.iter().filter(|call| !BESIDE.contains(&call.action.as_str()));
        let mut others = vec![
            of(life.runs, life.calls, "the server's boot"),
            of(life.configured.max(life.attached), life.healthy, "the agent's last word"),
        ];
        for call in calls {
            others.push(of(call.arrived, call.answered, &call.action));
            match call.action.as_str() {
                "CreateSecurityGroup" => {
                    others.push(of(call.happened(), call.happened() + call.unknown_for, "the group can be named"));
                }
                "RunInstances" => others.push(of(call.happened(), life.runs, "Amazon's start of the server")),
                "AttachVolume" => others.push(of(call.happened(), life.attached, "the volume is attached")),
                _ => {}
            }
        }
        Ok(others)
    }

    fn together(&self, count: usize) -> Outcome<()> {
        eprintln!("{count} orders at once");
        let before = self.amazon.counts();
        let begun = Instant::now();
        let all = placing::place_at_once(&self.portal, TEMPLATE, count)?;
        let took = begun.elapsed();
        let after = self.amazon.counts();
        let best = best(count);
        let ready_at = all.iter().filter_map(|one| Some((one["name"].as_str()?, one["ready_at"].as_u64()?)));
        let last_words = ready_at.filter_map(|(name, at)| Some(at.saturating_sub(self.lives.of(name)?.healthy_ms)));
        let last_words: Times = last_words.map(Duration::from_millis).collect();
        println!(
            "{count} orders at once: all ready after {:.1} s   at best {:.1} s ({})   {:.3} ×",
            took.as_secs_f64(),
            best.time.as_secs_f64(),
            best.bucket,
            took.as_secs_f64() / best.time.as_secs_f64(),
        );
        println!("each, agent's last word to ready   {last_words}");
        println!("{} calls, {} throttled", after.all() - before.all(), after.all_throttled() - before.all_throttled());
        Ok(())
    }
}

/// The group, its rules, the server; and the server's own part after that.
fn best(environments: usize) -> Optimum {
    let own_ms = BOOT.1 + i64::try_from(WORK.as_millis()).unwrap_or(0);
    fake_ec2::optimum_of_start(environments, environments, own_ms, 3)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
