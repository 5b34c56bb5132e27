//! `bench order`: builds in release and hands over to `xtask/bench`, which places the orders.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::Outcome;
use crate::arguments::BenchOptions;
use crate::progress::Progress;
use crate::run;
use crate::up;
use crate::workspace::Workspace;

pub fn bench(options: &BenchOptions) -> Outcome<()> {
    let workspace = Workspace::find();
    up::build(&workspace)?;
    let progress = Progress::begin();
    progress.part("bench", |part| {
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--package", "bench"]);
        run::logged("build the bench", &mut cargo, &workspace.log("bench"), part)
    })?;
    drop(progress);
    let mut bench = Command::new(workspace.target.join("debug/bench"));
    bench.current_dir(&workspace.root).arg(workspace.dist());
    bench.arg(options.orders.to_string()).arg(options.at_once.to_string());
    let error = bench.exec();
    Err(format!("Cannot run {:?}: {error}", bench.get_program()))
}
