//! An Amazon EC2 on this machine, for trying things out and for programs that are not in Rust.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use fake_ec2::{
    Account, Bodies, Fake, Faults, LIFELINE, Lag, Rules, SURROUNDINGS, Spread, follow, run_lifeline, run_surroundings,
    serve,
};
use tokio::net::TcpListener;

/// Speaks the EC2 Query protocol and STS with Amazon's semantics; any EC2 client works with it as its endpoint. The access
/// key picks the account, signatures are not verified. GET /_fake tells what can be done to it while it runs.
#[derive(Parser)]
#[command(name = "fake-ec2")]
struct Options {
    /// Where to listen; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Repeats everything that is left to chance.
    #[arg(long, env = "FAKE_EC2_SEED", default_value_t = 1)]
    seed: u64,
    /// Transitions take as long as on Amazon, and its token buckets hold.
    #[arg(long)]
    lifelike: bool,
    /// How far back describes may see, in seconds; on Amazon it has been minutes.
    #[arg(long, env = "FAKE_EC2_LAG", default_value_t = 0, value_name = "SECONDS")]
    lag: i64,
    /// How many times as fast as ours its clock goes.
    #[arg(long, default_value_t = 1.0, value_name = "TIMES")]
    speed: f64,
    /// The share of calls something goes wrong with, from 0 to 1.
    #[arg(long, env = "FAKE_EC2_FAULTS", default_value_t = 0.0, value_name = "SHARE")]
    faults: f64,
    /// The region of requests; its zones are a, b and c.
    #[arg(long, default_value = "eu-central-1")]
    region: String,
    /// An account, and the access key that picks it. May be given several times.
    #[arg(long, value_name = "ID:KEY", default_values = ["111122223333:AKIAFAKEOURS", "444455556666:AKIAFAKETHEIRS"])]
    account: Vec<String>,
    /// For how many seconds each GiB of a volume's data from a snapshot is being read in.
    #[arg(long, env = "FAKE_EC2_READING", value_name = "SECONDS")]
    reading: Option<i64>,
    /// How many vCPUs may run in an account and region.
    #[arg(long, value_name = "COUNT")]
    vcpus: Option<u32>,
    /// What an access key may do: an IAM policy in a file. May be given several times.
    #[arg(long, value_name = "KEY=FILE")]
    policy: Vec<String>,
    /// Instances with user-data really run, as servers of this machine without privileges; what is theirs is kept in this
    /// directory, and removed as the program starts.
    #[arg(long, value_name = "DIRECTORY")]
    bodies: Option<PathBuf>,
    /// What instances reach at http://172.31.0.1, on the same port; nothing else do they reach.
    #[arg(long, value_name = "ADDRESS", requires = "bodies")]
    portal: Option<SocketAddr>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        // What bodies are made of, in processes of their own that must have one thread as they begin.
        Some((word, rest)) if word == holder::COMMAND => return holder::run(rest),
        Some((word, rest)) if word == LIFELINE => return run_lifeline(rest),
        Some((word, rest)) if word == SURROUNDINGS => return run_surroundings(rest),
        _ => {}
    }
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let served = runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(run(options)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake-ec2: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), String> {
    if options.speed.is_nan() || options.speed <= 0.0 || !options.speed.is_finite() {
        return Err(format!("--speed is to be more than 0, not {}", options.speed));
    }
    if !(0.0..=1.0).contains(&options.faults) {
        return Err(format!("--faults is to be a share from 0 to 1, not {}", options.faults));
    }
    let speed = options.speed;
    let listen = options.listen;
    let open = |directory: &PathBuf| Bodies::open(directory, options.portal);
    let bodies = options.bodies.as_ref().map(open).transpose()?;
    let policies = options.policy.iter().map(|text| policy(text)).collect::<Result<Vec<_>, _>>()?;
    let rules = rules(options)?;
    let listener = TcpListener::bind(listen).await.map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("cannot tell the address: {error}"))?;
    let terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let mut terminated = terminated.map_err(|error| format!("cannot listen for signals: {error}"))?;
    println!("listening on http://{address}");
    let fake = Fake::with_bodies(rules, speed, bodies);
    for (key, text) in policies {
        fake.set_policy(&key, Some(&text)).map_err(|error| format!("--policy {key}: {error}"))?;
    }
    tokio::select! {
        () = follow(fake.clone()) => Ok(()),
        served = serve(fake, listener) => served.map(drop).map_err(|error| error.to_string()),
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminated.recv() => Ok(()),
    }
}

fn rules(options: Options) -> Result<Rules, String> {
    let mut rules = if options.lifelike { Rules::lifelike(options.seed) } else { Rules::calm() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| "this machine's clock is before 1970")?;
    rules.seed = options.seed;
    rules.start_ms = i64::try_from(now.as_millis()).map_err(|_| "this machine's clock is far in the future")?;
    rules.lag = Lag { describes_ms: options.lag * 1000, changes_ms: options.lag.min(10) * 1000, wavering: true };
    rules.faults = Faults::everywhere(options.faults);
    if let Some(seconds) = options.reading {
        rules.delays.reading_per_gib = Spread(seconds * 1000, seconds * 1000);
    }
    rules.vcpu_limit = options.vcpus;
    rules.region = options.region;
    rules.other_regions.retain(|other| *other != rules.region);
    rules.accounts = options.account.iter().map(|text| account(text)).collect::<Result<_, _>>()?;
    Ok(rules)
}

/// An access key, and the text of its policy.
fn policy(text: &str) -> Result<(String, String), String> {
    let (key, path) = text.split_once('=').ok_or_else(|| format!("--policy is to be KEY=FILE, not “{text}”"))?;
    let policy = std::fs::read_to_string(path).map_err(|error| format!("--policy {key}: {path}: {error}"))?;
    Ok((key.to_owned(), policy))
}

fn account(text: &str) -> Result<Account, String> {
    let parts = text
        .split_once(':')
        .filter(|(id, key)| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit()) && !key.is_empty());
    let (id, key) =
        parts.ok_or_else(|| format!("--account is to be twelve digits, a colon and a key, not “{text}”"))?;
    Ok(Account::of(id, key))
}
