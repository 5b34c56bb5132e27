//! What `order`, `clone` and `change` take.

use clap::Args;

use super::{Assignment, WaitArguments};

#[derive(Debug, Args)]
pub struct OrderArguments {
    #[arg(value_name = "TEMPLATE", add = crate::cli::complete::templates())]
    pub template: String,
    /// Name of the environment; made up from the template's name when absent
    #[arg(long)]
    pub name: Option<String>,
    /// Version of the template; the one on offer when absent
    #[arg(long)]
    pub version: Option<String>,
    /// Begin with the values of this preset of the template; --set comes on top
    #[arg(long, value_name = "PRESET", conflicts_with = "like")]
    pub preset: Option<String>,
    /// Begin with the values, but secrets, this environment was ordered with; --set comes on top
    #[arg(long, value_name = "ENV", add = crate::cli::complete::environments())]
    pub like: Option<String>,
    /// Value of a parameter; may be given several times
    #[arg(long = "set", value_name = "PARAMETER=VALUE")]
    pub set: Vec<Assignment>,
    /// Value of a parameter from a file, without one line end at its end; `-` is standard input
    #[arg(long = "set-file", value_name = "PARAMETER=FILE")]
    pub set_file: Vec<Assignment>,
    /// Key that makes repeating this order harmless: the same key again yields the same environment
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    #[command(flatten)]
    pub wait: WaitArguments,
}

#[derive(Debug, Args)]
pub struct CloneArguments {
    #[arg(value_name = "ENV", add = crate::cli::complete::environments())]
    pub environment: String,
    /// Begin with what this snapshot holds, by its id, or `latest`; one is taken now when absent
    #[arg(long)]
    pub snapshot: Option<String>,
    /// At another provisioner, which has a complete copy of that snapshot (`latest`: the newest it has one of)
    #[arg(long, value_name = "PROVISIONER", requires = "snapshot")]
    pub at: Option<String>,
    /// Name of the new environment; made up from the template's name when absent
    #[arg(long)]
    pub name: Option<String>,
    /// Sign-in name of the colleague it is for; yourself when absent
    #[arg(long = "for", value_name = "NAME")]
    pub owner: Option<String>,
    /// Another value of a parameter, or a secret's, which is never copied; may be given several times
    #[arg(long = "set", value_name = "PARAMETER=VALUE")]
    pub set: Vec<Assignment>,
    /// Value of a parameter from a file, without one line end at its end; `-` is standard input
    #[arg(long = "set-file", value_name = "PARAMETER=FILE")]
    pub set_file: Vec<Assignment>,
    /// Key that makes repeating this harmless: the same key again yields the same environment
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    #[command(flatten)]
    pub wait: WaitArguments,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct ChangeArguments {
    #[arg(value_name = "ENV", add = crate::cli::complete::environments())]
    pub environment: String,
    /// Another version of its template
    #[arg(long, group = "what")]
    pub version: Option<String>,
    /// Another value of a parameter; may be given several times
    #[arg(long = "set", value_name = "PARAMETER=VALUE", group = "what")]
    pub set: Vec<Assignment>,
    /// Value of a parameter from a file, without one line end at its end; `-` is standard input
    #[arg(long = "set-file", value_name = "PARAMETER=FILE", group = "what")]
    pub set_file: Vec<Assignment>,
    #[command(flatten)]
    pub wait: WaitArguments,
}
