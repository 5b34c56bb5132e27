//! The same provisioner on an Amazon that others made: moto, which Python's projects test their Amazon with. It is a second
//! opinion on what Amazon's calls mean; our own fake is the stricter one.
//!
//! Told here are the stories every provisioner must pass that moto can carry. Left out are:
//!
//! - a connection cut at every moment: moto keeps client tokens and looks at none, so whoever repeats a call of RunInstances or
//!   CreateVolume gets a second server or volume. Amazon: "Ensuring idempotency in Amazon EC2 API requests".
//! - a portal killed at every moment of whole lives: hundreds of lives on a real clock. The moments of a launch are here, because
//!   after a kill it is found by what is shown of it, and no call is repeated.
//! - everything about delays, buckets and describes that see the past: on moto all is immediate and true.
//! - what is left out of the stories told of our own fake, for the same reasons: nobody takes away a network that is in use, and
//!   nobody reads files in Amazon's snapshots.
//!
//! What no story of the conformance has is in `further`.
//!
//! What the stories need to know of moto they ask it by HTTP, past the provisioner's own eyes.

mod further;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use aws_sdk_ec2::config::Credentials;
use ec2::Ec2;
use ec2::config::Config;
use futures::future::join_all;
use provisioners::conformance::{self, Performed, Place, Trouble, effect, server, settled};
use provisioners::{Effect, EnvironmentId, MachineState, Provisioner, ServerId, SnapshotId, Step, VolumeId};

use super::amazon::{INSTALLATION, Moments, Pages, config, open};
use super::place::until_trouble;

/// What a story's moto takes to have nothing left of an environment.
const SWEPT: Duration = Duration::from_secs(30);

/// Moto as a server of its own. Ends with its story.
struct Moto {
    process: Child,
    /// Host and port.
    address: String,
}

impl Moto {
    /// `None`: there is none, and that was said.
    fn start() -> Option<Self> {
        let Some(python) = std::env::var_os("BOOKEND_TEST_MOTO") else {
            eprintln!("Left out: BOOKEND_TEST_MOTO names no Python with moto; `cargo xtask test` provides one.");
            return None;
        };
        let mut command = Command::new(python);
        command.args(["-m", "moto.server", "--host", "127.0.0.1", "--port", "0"]);
        let mut process = command.stderr(Stdio::piped()).spawn().expect("moto starts");
        let mut lines = BufReader::new(process.stderr.take().expect("its output")).lines().map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.split_once("Running on http://")?.1.trim().to_owned()));
        let address = address.expect("where moto listens");
        // It tells of every request; nobody reading would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { process, address })
    }

    /// The answer to one call of EC2's, as text.
    fn ask(&self, action: &str, form: &str) -> String {
        let credential = "AWS4-HMAC-SHA256 Credential=AKIASTORY/20260101/eu-central-1/ec2/aws4_request, \
                          SignedHeaders=host, Signature=00";
        let body = format!("Action={action}&Version=2016-11-15&{form}");
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let head = format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nAuthorization: {credential}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        assert!(reply.starts_with("HTTP/1.1 200"), "{action} {form}: {reply}");
        reply
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // One that has ended already is what was wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// All values of an element of an answer.
fn values(answer: &str, element: &str) -> Vec<String> {
    let (opening, closing) = (format!("<{element}>"), format!("</{element}>"));
    let value = |rest: &str| rest.split_once(&closing).map(|(value, _)| value.trim().to_owned());
    answer.split(&opening).skip(1).filter_map(value).collect()
}

struct MotoPlace {
    moto: Arc<Moto>,
    ledger: Arc<Pages>,
    moments: Arc<Moments>,
    /// Moto's ids of volumes that were filled.
    filled: Mutex<BTreeSet<String>>,
}

impl MotoPlace {
    /// With a ledger of its own.
    fn at(moto: &Arc<Moto>) -> Self {
        let moments: Arc<Moments> = Arc::default();
        let ledger = Arc::new(Pages::with(moments.clone()));
        Self { moto: moto.clone(), ledger, moments, filled: Mutex::default() }
    }

    async fn portal(&self) -> Ec2 {
        let config = Config { endpoint: Some(format!("http://{}", self.moto.address)), ..config() };
        let credentials = Credentials::new("AKIASTORY", "secret", None, None, "a story");
        let amazon = ec2::connect_as(&config, Some(credentials)).await;
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_millis();
        let now = Arc::new(move || i64::try_from(now()).expect("a clock"));
        open(config, amazon, self.ledger.clone(), INSTALLATION, now).await.expect("a region that can be used")
    }

    /// Of all that carries an environment's tag, these elements.
    fn tagged(&self, action: &str, tag: &str, value: &str, element: &str) -> Vec<String> {
        values(
            &self.moto.ask(action, &format!("Filter.1.Name=tag%3Abookend%3A{tag}&Filter.1.Value.1={value}")),
            element,
        )
    }

    fn states(&self, environment: &EnvironmentId) -> Vec<String> {
        let states = self.tagged("DescribeInstances", "environment", environment.as_str(), "instanceState");
        states.iter().flat_map(|state| values(state, "name")).collect()
    }

    /// Moto's ids of what there is of a volume.
    fn volumes(&self, environment: &EnvironmentId, volume: &VolumeId) -> Vec<String> {
        let form = format!(
            "Filter.1.Name=tag%3Abookend%3Avolume&Filter.1.Value.1={volume}\
             &Filter.2.Name=tag%3Abookend%3Aenvironment&Filter.2.Value.1={environment}"
        );
        let mut ids = values(&self.moto.ask("DescribeVolumes", &form), "volumeId");
        // Its attachments name it again.
        ids.sort();
        ids.dedup();
        ids
    }

    fn left(&self, environment: &EnvironmentId) -> Vec<String> {
        let of = |action, element| self.tagged(action, "environment", environment.as_str(), element);
        let servers = self.states(environment).into_iter().filter(|state| state != "terminated");
        let rest = [
            of("DescribeVolumes", "volumeId"),
            of("DescribeSnapshots", "snapshotId"),
            of("DescribeSecurityGroups", "groupId"),
        ];
        servers.chain(rest.concat()).collect()
    }
}

#[async_trait]
impl Place for MotoPlace {
    fn shares_volumes(&self) -> bool {
        false
    }

    /// They can, but moto's `launchTime` stays what it was, so that nobody could tell one that woke from what is long past.
    fn suspends_servers(&self) -> bool {
        false
    }

    async fn open(&self) -> Box<dyn Provisioner> {
        self.moments.disarm();
        Box::new(self.portal().await)
    }

    async fn perform_in_trouble(&self, effect: &Effect, trouble: Trouble, at: u64) -> Performed {
        until_trouble(self.portal().await, &self.moments, effect, trouble, at).await
    }

    async fn running(&self, environment: &EnvironmentId) -> usize {
        self.states(environment).iter().filter(|state| ["pending", "running"].contains(&state.as_str())).count()
    }

    async fn leftovers(&self, environment: &EnvironmentId) -> Vec<String> {
        let by = tokio::time::Instant::now() + SWEPT;
        // Somebody has to be there to sweep.
        let _portal = self.portal().await;
        loop {
            let left = self.left(environment);
            if left.is_empty() || tokio::time::Instant::now() >= by {
                return left;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn kill_server(&self, _: &EnvironmentId, _: &ServerId) {
        unreachable!("no story that is told of moto ends a server from outside");
    }

    fn kill_network(&self, _: &EnvironmentId) {
        unreachable!("nobody can take a security group away that servers use");
    }

    async fn fill(&self, environment: &EnvironmentId, volume: &VolumeId) {
        // It was accepted; now it is made.
        let mut ids = self.volumes(environment, volume);
        while ids.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            ids = self.volumes(environment, volume);
        }
        assert_eq!(ids.len(), 1, "there is exactly one of {volume}: {ids:?}");
        self.filled.lock().expect("a lock").extend(ids);
    }

    fn is_filled(&self, environment: &EnvironmentId, volume: &VolumeId) -> bool {
        let ids = self.volumes(environment, volume);
        assert_eq!(ids.len(), 1, "there is exactly one of {volume}: {ids:?}");
        let filled = self.filled.lock().expect("a lock");
        let came_from = |id: &String| {
            let from = values(&self.moto.ask("DescribeVolumes", &format!("VolumeId.1={id}")), "snapshotId");
            let from = from.into_iter().filter(|snapshot| !snapshot.is_empty());
            from.flat_map(|snapshot| {
                values(&self.moto.ask("DescribeSnapshots", &format!("SnapshotId.1={snapshot}")), "volumeId")
            })
            .collect::<Vec<_>>()
        };
        ids.iter().any(|id| filled.contains(id) || came_from(id).iter().any(|volume| filled.contains(volume)))
    }

    fn damage(&self, _: &EnvironmentId, _: &SnapshotId, _: &VolumeId) -> String {
        unreachable!("snapshots cannot be damaged from here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_may_be_repeated_on_moto() {
    let Some(moto) = Moto::start() else { return };
    conformance::every_step_may_be_repeated(&MotoPlace::at(&Arc::new(moto))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_and_impossible_requests_change_nothing_on_moto() {
    let Some(moto) = Moto::start() else { return };
    conformance::late_and_impossible_requests_change_nothing(&MotoPlace::at(&Arc::new(moto))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_outlives_everything_else_on_moto() {
    let Some(moto) = Moto::start() else { return };
    conformance::a_snapshot_outlives_everything_else(&MotoPlace::at(&Arc::new(moto))).await;
}

/// Without a client token that counts: what was made is found by what moto shows of it, before anything is asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn a_portal_killed_at_every_moment_of_a_launch_finds_its_server_on_moto() {
    let Some(moto) = Moto::start() else { return };
    let moto = Arc::new(moto);
    let lives = (0..MOMENTS).map(|moment| launched_and_killed(MotoPlace::at(&moto), moment));
    let performed = join_all(lives).await;
    let (killed, done) = performed.split_at(performed.iter().position(|one| *one == Performed::Done).unwrap_or(0));
    assert!(killed.len() >= 6, "a launch has more moments: {performed:?}");
    assert!(done.iter().all(|one| *one == Performed::Done), "{performed:?}");
}

/// More than a launch has, with its network.
const MOMENTS: u64 = 24;

async fn launched_and_killed(place: MotoPlace, moment: u64) -> Performed {
    let environment = EnvironmentId::new(format!("killed-{moment}"));
    let mut web = server("web", 1);
    web.mounts.clear();
    let start = effect(&environment, &Step::StartServer { server: Box::new(web) });
    let portal = place.open().await;
    assert_eq!(portal.request(&effect(&environment, &Step::CreateNetwork)).await, Ok(()));
    drop(portal);
    let performed = place.perform_in_trouble(&start, Trouble::Kill, moment).await;
    let portal = place.open().await;
    assert_eq!(portal.request(&start).await, Ok(()), "after a kill at moment {moment}");
    let observed = settled(portal.as_ref(), &environment).await;
    let states: Vec<&MachineState> = observed.servers.iter().map(|server| &server.state).collect();
    assert_eq!(states, [&MachineState::Running], "after a kill at moment {moment}");
    assert_eq!(place.running(&environment).await, 1, "after a kill at moment {moment}");
    performed
}
