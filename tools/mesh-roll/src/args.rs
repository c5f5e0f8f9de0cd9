//! The command line.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Parser, ValueEnum};
use mesh_actor::ActorArgs;
use mesh_cli::EXIT_CODES;
use mesh_records::{WorkloadKind, parse_timeout};

use crate::select::{Choice, Selector, parse_kind};

/// Roll the workloads whose proxies differ from what the injector gives, at a pace, with proof
///
/// Reads a passing verdict and its workloads from standard input:
///
///   mesh-survey | mesh-skewcheck --ask roll | mesh-roll
///
/// What is rolled is decided on the facts of the moment, each time that a workload is about to be
/// restarted; a workload is done when each of its new pods was seen with the right proxy, ready. A
/// new pod without it stops everything. Run it again to go on where a run stopped.
#[derive(Parser, Debug)]
#[command(name = "mesh-roll", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Args {
    /// Only workloads of this namespace (may be repeated)
    #[arg(short, long = "namespace", value_name = "NAMESPACE", action = ArgAction::Append,
          value_parser = NonEmptyStringValueParser::new())]
    namespace: Vec<String>,

    /// Only workloads of this kind: Deployment, StatefulSet or DaemonSet (may be repeated)
    #[arg(long, value_name = "KIND", action = ArgAction::Append, value_parser = parse_kind)]
    kind: Vec<WorkloadKind>,

    /// Not these: NAMESPACE, NAMESPACE/NAME or NAMESPACE/KIND/NAME, `*` for any text (may be repeated)
    #[arg(long, value_name = "SELECTOR", action = ArgAction::Append)]
    exclude: Vec<Selector>,

    /// Roll these though they will be down meanwhile; written as for --exclude (may be repeated)
    #[arg(long, value_name = "SELECTOR", action = ArgAction::Append)]
    allow_outage: Vec<Selector>,

    /// How many workloads may be on their way at once; two that share a PodDisruptionBudget never are
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_in_flight: u16,

    /// How many workloads may fail before nothing more is started
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) max_failures: u32,

    /// How long one workload may take
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_timeout)]
    pub(crate) timeout: Duration,

    /// How long the run may start workloads, and wait for those that something outside holds up
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    pub(crate) deadline: Option<Duration>,

    /// What else makes the exit code 1: workloads that were skipped and need attention
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) fail_on: Option<FailOn>,

    #[command(flatten)]
    pub(crate) actor: ActorArgs,
}

/// What else makes the exit code 1 (`--fail-on`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// A workload that was skipped and needs attention.
    Attention,
}

/// The pipeline that an error's hint shows.
pub(crate) const PIPELINE: &str = "mesh-survey | mesh-skewcheck --ask roll | mesh-roll";

impl Args {
    /// Returns which workloads the flags select.
    pub(crate) fn choice(&self) -> Choice {
        Choice {
            namespaces: self.namespace.clone(),
            kinds: self.kind.clone(),
            exclude: self.exclude.clone(),
        }
    }

    /// Returns the workloads of `--allow-outage`.
    pub(crate) fn outages(&self) -> Vec<Selector> {
        self.allow_outage.clone()
    }
}
