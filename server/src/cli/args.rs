//! The command line, as clap reads it.

use super::logging::LogFormat;
use clap::{Args, Parser, Subcommand};
use doyen_core::identity::{Address, Incarnation};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  doyen server                            one server on this machine
  doyen server --config site.conf         a server of a site
  doyen config check --config site.conf   what a file means, before it is used
  doyen members                           who is in the cluster, who holds it

Exit codes:
  0   stopped as asked
  1   failed
  2   wrong usage or configuration
  75  left out of the cluster: start me again";

const SERVER_EXAMPLES: &str = "\
Examples:
  doyen server
  doyen server --config /etc/doyen/site.conf --log-format json
  doyen server --set spark.jobserver.port=8091 --set doyen.data-dir=/srv/doyen

Without --config: a single server, HTTP on 127.0.0.1:8090, cluster on
127.0.0.1:2552, records and binaries in the platform's folder for data.
`doyen config keys` lists every key.

SIGTERM stops it in order: it hands over, leaves, and exits with 0. A second
server on this machine needs its own spark.jobserver.port and
akka.remote.netty.tcp.port, and both addresses in spark.jobserver.ha.masters.

Exit codes: 0 stopped as asked, 1 failed, 2 wrong usage or configuration,
75 left out of the cluster: start me again.";

const CHECK_EXAMPLES: &str = "\
Examples:
  doyen config check --config site.conf
  doyen config check --config site.conf --all
  doyen config check --config site.conf --json | jq .errors

Exit codes: 0 a server would start with it, 2 it would not.";

const MEMBERS_EXAMPLES: &str = "\
Examples:
  doyen members
  doyen members --url http://10.0.0.12:8090
  doyen members --json | jq '.members[] | select(.reachable | not) | .address'";

const LEAVE_EXAMPLES: &str = "\
Examples:
  doyen leave
  doyen leave --url http://10.0.0.12:8090

The server that is asked leaves; contexts and jobs stay. To stop it, send
SIGTERM: it leaves first.";

/// A highly available Spark job server.
#[derive(Debug, Parser)]
#[command(
    name = "doyen",
    version,
    about = "Doyen, a highly available Spark job server",
    after_help = EXAMPLES,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// How log lines look: text or json. They go to standard error; DOYEN_LOG filters them, e.g.
    /// info (its default) or debug
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run one job server
    #[command(after_help = SERVER_EXAMPLES)]
    Server(ConfigArgs),
    /// Run the driver of one context (started by servers)
    #[command(hide = true)]
    Driver(DriverArgs),
    /// Watch over an engine process (started by drivers)
    #[command(hide = true, disable_help_flag = true)]
    Keeper(KeeperArgs),
    /// Run the embedded store of a data folder (servers start it themselves)
    Store(StoreArgs),
    /// Show who is in the cluster
    #[command(after_help = MEMBERS_EXAMPLES)]
    Members(MembersArgs),
    /// Ask a server to leave the cluster in order
    #[command(after_help = LEAVE_EXAMPLES)]
    Leave(UrlArgs),
    /// Look at configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Show the version
    Version(JsonArgs),
}

/// Looking at configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Say what a configuration means, where each value comes from, and what is wrong
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// List every key that is known
    Keys(JsonArgs),
}

/// Where the configuration is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct ConfigArgs {
    /// HOCON file; without it the defaults hold
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one key over the file; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = assignment)]
    pub set: Vec<String>,
}

/// Arguments of `config check`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Show the keys that have their default too
    #[arg(long)]
    pub all: bool,
    /// One JSON object instead of tables
    #[arg(long)]
    pub json: bool,
}

/// Arguments of verbs that only print.
#[derive(Clone, Debug, Args)]
pub(crate) struct JsonArgs {
    /// JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// Which server to ask.
#[derive(Clone, Debug, Args)]
pub(crate) struct UrlArgs {
    /// A server's HTTP address
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8090")]
    pub url: String,
}

/// Arguments of `members`.
#[derive(Clone, Debug, Args)]
pub(crate) struct MembersArgs {
    /// Which server to ask.
    #[command(flatten)]
    pub server: UrlArgs,
    /// JSON as the server says it, instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `driver`; see `doyen_core::driver::DriverLaunch`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct DriverArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Data folder of the host
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// Id of the context
    #[arg(long, value_name = "ID")]
    pub context: String,
    /// Number of the intent that launched it
    #[arg(long, value_name = "NUMBER")]
    pub intent: u64,
    /// Id of the cluster
    #[arg(long, value_name = "ID")]
    pub cluster: String,
    /// This life of the driver, 16 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = incarnation)]
    pub incarnation: Incarnation,
    /// Servers to dial first; may be repeated
    #[arg(long = "server", value_name = "HOST:PORT", required = true)]
    pub servers: Vec<Address>,
}

/// Arguments of `keeper`, which the engine reads itself.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct KeeperArgs {
    /// Passed on as they are.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub rest: Vec<OsString>,
}

/// Arguments of `store`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct StoreArgs {
    /// Data folder that it owns
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// It ends when nobody has used it for so long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    pub idle_exit: Duration,
}

fn assignment(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((key, _)) if !key.trim().is_empty() => Ok(text.to_owned()),
        _ => Err("expected KEY=VALUE, e.g. spark.jobserver.port=8091".to_owned()),
    }
}

fn incarnation(text: &str) -> Result<Incarnation, String> {
    Incarnation::try_from(text.to_owned()).map_err(|_| "expected 16 hexadecimal digits".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    crate::config::duration(text)
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "expected a time above 0, e.g. 30s".to_owned())
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
