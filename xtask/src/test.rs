//! `test`: everything the tests need, then the tests.
//!
//! Tests run real programs. They find them through variables: `BOOKEND_DIST` is a folder with `bookend`, `bookend-agent` and
//! `site/`; `BOOKEND_TEST_POSTGRES` the URL of a PostgreSQL where they may make databases; `BOOKEND_TEST_S3` a server that speaks
//! S3 and checks signatures; `BOOKEND_TEST_BOTO3` a Python that has Amazon's own client; `BOOKEND_TEST_MOTO` a Python
//! that has moto, an Amazon that others made for tests. These three come from npm and PyPI: where one cannot be had its stories
//! are left out, and this says so. So it is with the agent for other processors than this machine's, which QEMU runs;
//! `BOOKEND_TEST_ARM64` says that it can be.

use crate::Outcome;
use crate::arguments::TestOptions;
use crate::build::{self, Flavour};
use crate::machine;
use crate::npm;
use crate::others;
use crate::postgres;
use crate::progress::Progress;
use crate::pypi;
use crate::wasm;
use crate::workspace::Workspace;

const S3_SERVER: &str = "s3rver@3.7.1";
const BOTO3: &str = "boto3==1.43.0";
const MOTO: &str = "moto[ec2,server]==5.2.5";

/// The stories that look at every page keep a picture of each.
pub fn screenshots() -> Outcome<()> {
    test(&TestOptions { filter: Some("ui::pages".into()), arguments: Vec::new() })?;
    println!("The pictures are in {}.", Workspace::find().target.join("pictures").display());
    Ok(())
}

pub fn test(options: &TestOptions) -> Outcome<()> {
    let workspace = Workspace::find();
    let progress = Progress::begin();
    let compiler = wasm::choose(&workspace, &progress)?;
    let needs = [machine::RUNNING, machine::TESTING, compiler.needs()].concat();
    machine::provide(&workspace, &progress, "build Bookend and run its tests", &needs)?;
    compiler.prepare(&workspace, &progress)?;
    let other = others::prepared(&workspace, &progress, true);
    build::everything(&workspace, &progress, &compiler, Flavour::Tests, other)?;
    let s3 = npm::fetched(&workspace, &progress, "S3 server", "s3", S3_SERVER);
    let boto3 = pypi::fetched(&workspace, &progress, "boto3", "boto3", &[BOTO3]);
    let moto = pypi::fetched(&workspace, &progress, "moto", "moto", &[MOTO]);
    let postgres = progress.part("PostgreSQL", |part| postgres::start(&workspace, part))?;
    eprintln!("{}\n", progress.end());

    let mut cargo = workspace.cargo();
    cargo.env("BOOKEND_DIST", workspace.test_dist()).env("BOOKEND_TEST_POSTGRES", &postgres.url);
    match s3 {
        Ok(home) => drop(cargo.env("BOOKEND_TEST_S3", home.join("node_modules/.bin/s3rver"))),
        Err(why) => eprintln!("Without an S3 server, whose story is left out: {why}\n"),
    }
    match boto3 {
        Ok(python) => drop(cargo.env("BOOKEND_TEST_BOTO3", python)),
        Err(why) => eprintln!("Without boto3, whose story is left out: {why}\n"),
    }
    match moto {
        Ok(python) => drop(cargo.env("BOOKEND_TEST_MOTO", python)),
        Err(why) => eprintln!("Without moto, whose stories are left out: {why}\n"),
    }
    if other.is_some_and(|other| other.architecture == "arm64") && others::was_made(&workspace.test_dist()) {
        cargo.env("BOOKEND_TEST_ARM64", "can be run");
    }
    cargo.args(["test", "--workspace", "--no-fail-fast"]).args(&options.filter).arg("--").args(&options.arguments);
    let status = cargo.status().map_err(|error| format!("Cannot run cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("Not all tests passed; the failures are above.".into()) }
}
