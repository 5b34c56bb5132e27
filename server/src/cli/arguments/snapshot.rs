//! What `snapshot`, `restore` and `undelete` take.

use clap::{Args, Subcommand};

use super::WaitArguments;
use crate::cli::repository::{ExportArguments, ImportArguments};

#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Take one, of all volumes at one moment
    Create {
        #[arg(value_name = "ENV", add = crate::cli::complete::environments())]
        environment: String,
        /// What it is to be called
        #[arg(long)]
        label: Option<String>,
        #[command(flatten)]
        wait: WaitArguments,
    },
    /// List an environment's snapshots, the newest first
    List {
        #[arg(value_name = "ENV", add = crate::cli::complete::environments())]
        environment: String,
    },
    /// Show one: who, why, when, how, and what it holds
    Show(OneSnapshot),
    /// Read one as a whole and compare it with what was taken; exit code 6 when it is damaged
    Verify(OneSnapshot),
    /// What was added, changed and removed from one to another, or to what the volumes hold now
    Diff {
        #[command(flatten)]
        first: OneSnapshot,
        /// Another one; the present when absent
        #[arg(value_name = "WITH")]
        second: Option<String>,
    },
    /// Delete one, for ever
    Delete(OneSnapshot),
    /// Give one another label
    Label {
        #[command(flatten)]
        one: OneSnapshot,
        /// What it is to be called, at most 100 characters; empty: nothing
        label: String,
    },
    /// Keep one until it is unpinned
    Pin(OneSnapshot),
    /// Let it go when it is one of many
    Unpin(OneSnapshot),
    /// Have what is restored from one be at full speed at once; alone: how that stands, and what an hour costs
    Warm {
        #[command(flatten)]
        one: OneSnapshot,
        /// For so many hours from now, which are paid for
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=168))]
        hours: Option<u32>,
        /// No longer
        #[arg(long, conflicts_with = "hours")]
        off: bool,
    },
    /// Copy one to the portable repository, now
    Export(ExportArguments),
    /// Make an environment of what the portable repository has; alone: list that
    Import(ImportArguments),
    /// When they are taken by themselves, while it runs; with an option, set it
    Rule {
        #[arg(value_name = "ENV", add = crate::cli::complete::environments())]
        environment: String,
        /// By a rule of its own: minute, hour, day of month, month, day of week
        #[arg(long, value_name = "CRON")]
        cron: Option<String>,
        /// With --cron: IANA name
        #[arg(long, value_name = "ZONE", requires = "cron", default_value = "UTC")]
        time_zone: String,
        /// As its template says
        #[arg(long, conflicts_with_all = ["cron", "never"])]
        template: bool,
        /// Only when somebody asks, and before it is parked or deleted
        #[arg(long, conflicts_with = "cron")]
        never: bool,
    },
    /// Bring the newest one up in a place of its own, to see that it can be; exit code 6 when it could not
    Drill {
        #[arg(value_name = "ENV", add = crate::cli::complete::environments())]
        environment: String,
        #[command(flatten)]
        wait: WaitArguments,
    },
}

#[derive(Debug, Args)]
pub struct OneSnapshot {
    #[arg(value_name = "ENV", add = crate::cli::complete::environments())]
    pub environment: String,
    /// Its id, or `latest`
    pub snapshot: String,
}

#[derive(Debug, Args)]
pub struct RestoreArguments {
    #[arg(value_name = "ENV", add = crate::cli::complete::environments())]
    pub environment: String,
    /// The snapshot's id, or `latest`
    pub snapshot: String,
    #[command(flatten)]
    pub wait: WaitArguments,
}

#[derive(Debug, Args)]
pub struct UndeleteArguments {
    /// Name (the one deleted last) or id
    #[arg(value_name = "ENV")]
    pub environment: String,
    #[command(flatten)]
    pub wait: WaitArguments,
}
