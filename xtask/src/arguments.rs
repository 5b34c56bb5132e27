//! What can be typed after `cargo xtask`, parsed by hand: four words do not need a library.

const TASKS: &str = "\
cargo xtask up [--listen ADDR] [--data-dir DIR]
    Sets the machine up, builds everything in release and starts the portal (http://127.0.0.1:3000).
    Ends with the address and, on the first start, the single-use link that creates the first administrator.
cargo xtask up --fake-ec2 [--listen ADDR]
    The same with a make-believe Amazon EC2 on this machine, where everything that is ordered comes up: the whole way to EC2
    without an account. Each start begins with nothing, in target/fake-ec2/PORT/; all of it ends with the portal.
cargo xtask build
    The same without starting: target/dist/ holds bookend, bookend-agent and site/; and, where this machine can make it,
    bookend-agent-arm64, for servers with such processors on EC2.
cargo xtask test [FILTER] [-- ARGUMENTS]
    Installs what the tests need and runs them all, or those whose name contains FILTER.
cargo xtask screenshots
    Writes a picture of every page, on a phone and on a desk, in both themes, to target/pictures/.";

/// Each bench by its word, with what can be typed after it.
const BENCHES: [(&str, &str); 6] = [
    (
        "order",
        "\
cargo xtask bench order [--orders N] [--at-once N]
    Times orders of the scratch template on a release build, from the API call to healthy: N one after the other (100), then
    N at once (200; 0: none).",
    ),
    (
        "click",
        "\
cargo xtask bench click [--orders N] [--at-once N]
    Of the time from an order to a server that is ready on a fake Amazon EC2 with its delays, what is Bookend's own: N orders
    one after the other (20, half a minute each), then N at once (500; 0: none) beside what Amazon's buckets allow at best.",
    ),
    (
        "park",
        "\
cargo xtask bench park [--rounds N]
    Times park and resume of the three servers of the queue template, data kept and health included; N times (100).",
    ),
    (
        "data",
        "\
cargo xtask bench data [--megabytes N] [--files N]
    Snapshots, restores and exports of a generated tree (1,000 MB in 20,000 files), beside cp, rsync, restic and borg.",
    ),
    (
        "fleet",
        "\
cargo xtask bench fleet [--environments N] [--servers N]
    So many environments (500) of so many servers (10) on a fake Amazon EC2, beside what its published buckets allow at best,
    and beside Cloud Custodian (from PyPI) stopping as many.",
    ),
    (
        "page",
        "\
cargo xtask bench page [--seconds N]
    Pages per second and core, their times at half that load, a list of 100,000, and what Lighthouse says. Each measurement
    takes N seconds (10).",
    ),
];

/// What can be typed, in as far as these words, understood or not, say what is asked about.
pub fn usage(words: &[String]) -> String {
    let benches: Vec<&str> = BENCHES.iter().map(|(_, usage)| *usage).collect();
    let own = |word: &String| BENCHES.iter().find(|(name, _)| name == word);
    match (words.first().map(String::as_str), words.get(1).and_then(own)) {
        (Some("bench"), Some((_, usage))) => (*usage).to_owned(),
        (Some("bench"), None) => benches.join("\n"),
        _ => format!("{TASKS}\n{}", benches.join("\n")),
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    Help,
    Up(UpOptions),
    Build,
    Test(TestOptions),
    Screenshots,
    Bench(Bench),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct UpOptions {
    pub listen: Option<String>,
    pub data_dir: Option<String>,
    pub fake_ec2: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct TestOptions {
    pub filter: Option<String>,
    /// Handed to the test programs as they are.
    pub arguments: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Bench {
    Order {
        /// One after the other.
        orders: u32,
        /// Placed together.
        at_once: u32,
    },
    /// As [`Order`](Self::Order), on an Amazon.
    Click {
        orders: u32,
        at_once: u32,
    },
    Park {
        rounds: u32,
    },
    Page {
        /// Each measurement takes so long.
        seconds: u32,
    },
    Data {
        /// Of the tree that is measured.
        megabytes: u32,
        files: u32,
    },
    Fleet {
        environments: u32,
        /// Of each environment.
        servers: u32,
    },
}

pub fn parse(words: &[String]) -> Result<Task, String> {
    let mut ours = words.iter().take_while(|word| *word != "--");
    if ours.any(|word| word == "--help" || word == "-h") {
        return Ok(Task::Help);
    }
    let mut words = words.iter().map(String::as_str);
    match words.next() {
        None | Some("help") => Ok(Task::Help),
        Some("up") => parse_up(words),
        Some("build") => nothing_more(words).map(|()| Task::Build),
        Some("test") => parse_test(words),
        Some("screenshots") => nothing_more(words).map(|()| Task::Screenshots),
        Some("bench") => parse_bench(words),
        Some(other) => Err(format!("There is no task {other:?}.")),
    }
}

fn parse_up<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Task, String> {
    let mut options = UpOptions::default();
    while let Some(word) = words.next() {
        let (name, inline) = split_value(word);
        let place = match name {
            "--listen" => &mut options.listen,
            "--data-dir" => &mut options.data_dir,
            "--fake-ec2" if inline.is_none() => {
                options.fake_ec2 = true;
                continue;
            }
            "--fake-ec2" => return Err("--fake-ec2 takes no value.".into()),
            _ => return Err(format!("`up` does not know {word:?}.")),
        };
        *place = Some(value(name, inline, &mut words)?);
    }
    if options.fake_ec2 && options.data_dir.is_some() {
        return Err("--data-dir does not go with --fake-ec2, which begins with nothing in a folder of its own.".into());
    }
    Ok(Task::Up(options))
}

fn parse_test<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Task, String> {
    let mut options = TestOptions::default();
    while let Some(word) = words.next() {
        match word {
            "--" => options.arguments = words.by_ref().map(str::to_owned).collect(),
            _ if word.starts_with('-') => {
                return Err(format!("`test` does not know {word:?}; arguments of the test programs come after `--`."));
            }
            _ if options.filter.is_some() => return Err("`test` takes one filter.".into()),
            _ => options.filter = Some(word.to_owned()),
        }
    }
    Ok(Task::Test(options))
}

fn parse_bench<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Task, String> {
    let (mut orders, mut at_once, mut rounds, mut seconds) = (100, 200, 100, 10);
    let (mut megabytes, mut files) = (1_000, 20_000);
    let (mut environments, mut servers) = (500, 10);
    let (mut clicks, mut clicks_at_once) = (20, 500);
    let kind = words.next();
    let mut known: Vec<(&str, &mut u32)> = match kind {
        Some("order") => vec![("--orders", &mut orders), ("--at-once", &mut at_once)],
        Some("click") => vec![("--orders", &mut clicks), ("--at-once", &mut clicks_at_once)],
        Some("park") => vec![("--rounds", &mut rounds)],
        Some("page") => vec![("--seconds", &mut seconds)],
        Some("data") => vec![("--megabytes", &mut megabytes), ("--files", &mut files)],
        Some("fleet") => vec![("--environments", &mut environments), ("--servers", &mut servers)],
        Some(other) => return Err(format!("There is no bench {other:?}.")),
        None => return Err("Which bench?".into()),
    };
    while let Some(word) = words.next() {
        let (name, inline) = split_value(word);
        let Some((_, place)) = known.iter_mut().find(|(one, _)| *one == name) else {
            return Err(format!("`bench {}` does not know {word:?}.", kind.unwrap_or_default()));
        };
        let text = value(name, inline, &mut words)?;
        **place = text.parse().map_err(|_| format!("{name} takes a number, not {text:?}."))?;
    }
    Ok(Task::Bench(match kind {
        Some("page") => Bench::Page { seconds },
        Some("click") => Bench::Click { orders: clicks, at_once: clicks_at_once },
        Some("park") => Bench::Park { rounds },
        Some("data") => Bench::Data { megabytes, files },
        Some("fleet") => Bench::Fleet { environments, servers },
        _ => Bench::Order { orders, at_once },
    }))
}

fn split_value(word: &str) -> (&str, Option<&str>) {
    match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    }
}

fn value<'a>(name: &str, inline: Option<&str>, rest: &mut impl Iterator<Item = &'a str>) -> Result<String, String> {
    inline.or_else(|| rest.next()).map(str::to_owned).ok_or_else(|| format!("{name} needs a value."))
}

fn nothing_more<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<(), String> {
    words.next().map_or(Ok(()), |word| Err(format!("Nothing may follow here, and {word:?} does.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_take_their_value_after_a_space_or_an_equals_sign() {
        let expected =
            Task::Up(UpOptions { listen: Some("[::1]:80".into()), data_dir: Some("/d".into()), fake_ec2: false });
        assert_eq!(parsed("up --listen [::1]:80 --data-dir=/d"), Ok(expected));
        let fake = Task::Up(UpOptions { listen: Some("[::1]:80".into()), data_dir: None, fake_ec2: true });
        assert_eq!(parsed("up --fake-ec2 --listen [::1]:80"), Ok(fake));
    }

    #[test]
    fn what_follows_two_dashes_goes_to_the_test_programs() {
        let expected = Task::Test(TestOptions { filter: Some("park".into()), arguments: vec!["--nocapture".into()] });
        assert_eq!(parsed("test park -- --nocapture"), Ok(expected));
    }

    #[test]
    fn help_is_given_wherever_it_is_asked_for() {
        for line in ["", "help", "--help", "up --help", "test -h", "bench order --help"] {
            assert_eq!(parsed(line), Ok(Task::Help), "{line}");
        }
        assert_ne!(parsed("test -- --help"), Ok(Task::Help));
    }

    #[test]
    fn a_bench_tells_of_itself_alone() {
        let told = |line: &str| usage(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let fleet = told("bench fleet --help");
        assert!(fleet.starts_with("cargo xtask bench fleet [--environments N]"), "{fleet}");
        assert!(!fleet.contains("bench page"), "{fleet}");
        let benches = told("bench --help");
        assert!(benches.contains("bench fleet") && !benches.contains("xtask up"), "{benches}");
        for line in ["", "up --help", "bencch fleet"] {
            assert!(told(line).contains("xtask up") && told(line).contains("bench fleet"), "{line}");
        }
        // Whoever adds one tells of it.
        for (name, usage) in BENCHES {
            assert!(parsed(&format!("bench {name}")).is_ok(), "{name}");
            assert!(usage.starts_with(&format!("cargo xtask bench {name} [")), "{usage}");
        }
    }

    #[test]
    fn a_bench_takes_numbers_and_has_its_own_where_none_is_given() {
        assert_eq!(parsed("bench order"), Ok(Task::Bench(Bench::Order { orders: 100, at_once: 200 })));
        assert_eq!(parsed("bench order --at-once=3"), Ok(Task::Bench(Bench::Order { orders: 100, at_once: 3 })));
        assert_eq!(parsed("bench click --at-once 0"), Ok(Task::Bench(Bench::Click { orders: 20, at_once: 0 })));
        assert_eq!(parsed("bench park --rounds 7"), Ok(Task::Bench(Bench::Park { rounds: 7 })));
        assert_eq!(
            parsed("bench fleet --servers 100"),
            Ok(Task::Bench(Bench::Fleet { environments: 500, servers: 100 }))
        );
        assert_eq!(parsed("bench page --seconds 2"), Ok(Task::Bench(Bench::Page { seconds: 2 })));
    }

    #[test]
    fn wrong_words_are_named() {
        for line in [
            "upp",
            "up --port 1",
            "up --listen",
            "up --fake-ec2=yes",
            "up --fake-ec2 --data-dir /d",
            "build now",
            "test --all",
            "bench",
            "bench order --orders x",
            "bench page --orders 1",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
