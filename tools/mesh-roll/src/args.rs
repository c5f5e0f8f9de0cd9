//! The command line.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Parser, ValueEnum};
use jiff::Timestamp;
use mesh_actor::ActorArgs;
use mesh_cli::{DryRun, EXIT_CODES};
use mesh_records::{WorkloadKind, WorkloadRef, parse_duration, parse_timeout};

use crate::canary::Canary;
use crate::labels::{LabelSelector, parse_key};
use crate::roll::Wanted;
use crate::select::{Choice, Selector, parse_kind};
use crate::wave_gate::WaveGate;
use crate::window::{Opening, Window};

/// Restart the workloads whose proxies differ from what the injector adds, and prove each restart
///
/// Reads a verdict that passes, and its workloads, from standard input:
///
///   mesh-survey | mesh-skewcheck --ask roll | mesh-roll
///
/// mesh-roll looks at each workload again right before it restarts it. A workload is done when
/// every new pod has the right proxy and is ready. If a new pod has no proxy or the wrong one,
/// mesh-roll starts nothing else. Run the same pipeline again to continue where a run stopped.
#[derive(Parser, Debug)]
#[command(name = "mesh-roll", version, after_help = EXIT_CODES, max_term_width = 100)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Only workloads of this namespace (may be repeated)
    #[arg(short, long = "namespace", value_name = "NAMESPACE", action = ArgAction::Append,
          value_parser = NonEmptyStringValueParser::new())]
    namespace: Vec<String>,

    /// Only workloads of this kind: Deployment, StatefulSet, DaemonSet, ReplicaSet,
    /// ReplicationController or Rollout (may be repeated)
    #[arg(long, value_name = "KIND", action = ArgAction::Append, value_parser = parse_kind)]
    kind: Vec<WorkloadKind>,

    /// Only workloads whose own labels match, in the syntax of kubectl: team=shop,tier!=db,
    /// env in (test,prod)
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<LabelSelector>,

    /// Leave these out: NAMESPACE, NAMESPACE/NAME or NAMESPACE/KIND/NAME; `*` matches any text (may
    /// be repeated)
    #[arg(long, value_name = "SELECTOR", action = ArgAction::Append)]
    exclude: Vec<Selector>,

    /// Restart these even if all their pods stop for a time; form as --exclude (may be repeated)
    #[arg(long, value_name = "SELECTOR", action = ArgAction::Append)]
    allow_outage: Vec<Selector>,

    /// Restart these although a PodDisruptionBudget can never allow it; same form as --exclude (may
    /// be repeated). Of no use for evictions and Argo Rollouts, where the API server asks the budget
    #[arg(long, value_name = "SELECTOR", action = ArgAction::Append)]
    allow_budget: Vec<Selector>,

    /// How many workloads may roll at the same time, with those that others roll out and those that
    /// are not whole again; two that share a PodDisruptionBudget never do
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_in_flight: u16,

    /// How many pods of all workloads that roll may be unavailable at the same time; a workload whose
    /// own update strategy allows more is skipped and needs attention
    #[arg(long, value_name = "N")]
    pub(crate) max_unavailable_pods: Option<u32>,

    /// Restart these first, and nothing else before they are proven and were watched for --settle:
    /// so many (3), a part (10%), or those of a selector like that of --exclude. If one of them
    /// fails or is blocked, nothing else is started
    #[arg(long, value_name = "N|PERCENT|SELECTOR")]
    pub(crate) canary: Option<Canary>,

    /// Roll in groups by the value of this label of the workloads: a group begins when the one
    /// before it is finished, in the order of the values, then the workloads without the label, and
    /// after all groups the ingresses and gateways
    #[arg(long, value_name = "LABEL", value_parser = parse_key)]
    pub(crate) group_by: Option<String>,

    /// Run this command between two waves; the next wave begins only if its exit code is 0. It is
    /// split into words like a shell's, but no shell runs it; its standard input has the records of
    /// what ended since the last gate, and it gets as long as --timeout
    #[arg(long, value_name = "COMMAND")]
    pub(crate) gate: Option<WaveGate>,

    /// How many workloads that this run changed may fail; after one more nothing else is started. One
    /// that the API server refused to change, or that others roll out, says nothing of the rest
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) max_failures: u32,

    /// How a workload gets new pods: by a restart, or by eviction of its pods one by one
    #[arg(long, value_enum, value_name = "HOW", default_value = "auto")]
    pub(crate) strategy: StrategyArg,

    /// Time limit for one workload; where its pods are evicted, for each pod
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_timeout)]
    pub(crate) timeout: Duration,

    /// How long to watch the restarted workloads after the last one, and after the canaries; the run
    /// fails if their pods do not stay ready
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub(crate) settle: Duration,

    /// Time limit for the run; after it mesh-roll starts no workload and gives up blocked ones
    #[arg(long, value_name = "DURATION", value_parser = parse_timeout)]
    pub(crate) deadline: Option<Duration>,

    /// Like --deadline, as a time: 2026-03-02T04:00:00Z; the earlier of the two counts
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Timestamp>,

    /// Start workloads only in this part of the week, such as 'Mon-Fri 22:00-04:00 Europe/Berlin';
    /// its end counts like --until, and a run that begins outside of it ends at once (may be
    /// repeated; not in a dry run)
    #[arg(long, value_name = "WINDOW", action = ArgAction::Append)]
    pub(crate) window: Vec<Window>,

    /// Make the plan, change nothing and end: with code 0 if every outdated workload would be
    /// rolled, with code 1 if one would be skipped and needs attention
    #[arg(long, conflicts_with_all = ["yes", "dry_run", "fail_on"])]
    pub(crate) plan_only: bool,

    /// Show in the plan what is written to each workload: the field and its value, the field manager
    /// of mesh-roll, and who else manages the workload
    #[arg(long)]
    pub(crate) diff: bool,

    /// With `attention`: exit with code 1 also if a workload was skipped and needs attention
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) fail_on: Option<FailOn>,

    /// The namespace of the control plane; needed only if the input has verdicts about several
    #[arg(short = 'L', long, value_name = "NAMESPACE")]
    pub(crate) linkerd_namespace: Option<String>,

    #[command(flatten)]
    pub(crate) actor: ActorArgs,
}

/// How workloads get new pods (`--strategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyArg {
    /// By a restart, or by eviction where a restart does not replace every pod
    Auto,
    /// By a restart only; others are skipped
    Restart,
    /// By eviction, pod by pod
    Evict,
}

/// What else makes the exit code 1 (`--fail-on`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// A workload was skipped and needs attention.
    Attention,
}

impl Args {
    /// Turns flags that stand for others into those.
    pub(crate) fn spelled_out(mut self) -> Self {
        if self.plan_only {
            self.actor.consent.dry_run = DryRun::Client;
            self.fail_on = Some(FailOn::Attention);
        }
        self
    }

    /// Returns when nothing more may be started.
    pub(crate) fn ends_at(&self, now: Timestamp) -> Option<Timestamp> {
        let deadline = self.deadline.and_then(|after| now.checked_add(after).ok());
        let window = self.opening(now).map(|opening| match opening {
            Opening::Until(closes) => closes,
            Opening::Closed(_) => now,
        });
        deadline.into_iter().chain(self.until).chain(window).min()
    }

    /// Returns whether a window is open; `None` if that does not matter.
    pub(crate) fn opening(&self, now: Timestamp) -> Option<Opening> {
        // A plan is read by day and carried out by night.
        let counts = self.actor.consent.dry_run == DryRun::None;
        Opening::of(&self.window, now).filter(|_| counts)
    }

    /// Returns how workloads get new pods.
    pub(crate) fn strategy(&self) -> Wanted {
        match self.strategy {
            StrategyArg::Auto => Wanted::Auto,
            StrategyArg::Restart => Wanted::Restart,
            StrategyArg::Evict => Wanted::Evict,
        }
    }

    /// Returns which workloads the flags select.
    pub(crate) fn choice(&self) -> Choice {
        Choice {
            namespaces: self.namespace.clone(),
            kinds: self.kind.clone(),
            exclude: self.exclude.clone(),
            labels: self.selector.clone(),
        }
    }

    /// Returns the workloads of `--allow-budget`.
    pub(crate) fn budgets(&self) -> Vec<Selector> {
        self.allow_budget.clone()
    }

    /// Returns the workloads of `--allow-outage`.
    pub(crate) fn outages(&self) -> Vec<Selector> {
        self.allow_outage.clone()
    }

    /// Returns the first flag that selects none of these workloads, with its value.
    pub(crate) fn idle(&self, surveyed: &[&WorkloadRef]) -> Option<String> {
        let none = |selects: &dyn Fn(&WorkloadRef) -> bool| !surveyed.iter().any(|it| selects(it));
        let mut namespaces = self.namespace.iter();
        if let Some(namespace) = namespaces.find(|it| none(&|key| key.namespace == **it)) {
            return Some(format!("-n {namespace}"));
        }
        let mut kinds = self.kind.iter();
        if let Some(kind) = kinds.find(|it| none(&|key| key.kind == **it)) {
            return Some(format!("--kind {kind}"));
        }
        let flags = [
            ("--exclude", &self.exclude),
            ("--allow-outage", &self.allow_outage),
            ("--allow-budget", &self.allow_budget),
        ];
        let selectors = flags
            .iter()
            .flat_map(|(flag, list)| list.iter().map(move |it| (flag, it)));
        let canary = match &self.canary {
            Some(Canary::Those(selector)) => Some((&"--canary", selector)),
            Some(Canary::First(_) | Canary::Percent(_)) | None => None,
        };
        let selectors = selectors.chain(canary);
        let mut selectors = selectors.filter(|(_, it)| none(&|key| it.selects(key)));
        selectors.next().map(|(flag, it)| format!("{flag} {it}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_starts_nothing_more_after_the_first_of_its_ends() {
        let now = "2026-01-05T23:00:00Z".parse().unwrap();
        let window = ["--window", "Mon-Fri 22:00-04:00 Europe/Berlin"];
        let deadline = |after: &'static str| ["--deadline", after];
        let until = ["--until", "2026-01-06T02:30:00Z"];
        let ends = |flags: &[&[&str]]| {
            let flags = [&["mesh-roll"][..], &flags.concat()].concat();
            let args = Args::try_parse_from(flags).unwrap().spelled_out();
            args.ends_at(now).map(|at| at.to_string())
        };
        let table: [(&[&[&str]], Option<&str>); 7] = [
            (&[], None),
            (&[&window], Some("2026-01-06T03:00:00Z")),
            (&[&window, &deadline("2h")], Some("2026-01-06T01:00:00Z")),
            (&[&window, &deadline("9h")], Some("2026-01-06T03:00:00Z")),
            (&[&window, &until], Some("2026-01-06T02:30:00Z")),
            (
                &[&["--window", "Sat 00:00-24:00"]],
                Some("2026-01-05T23:00:00Z"),
            ),
            (&[&window, &["--plan-only"]], None),
        ];
        for (flags, expected) in table {
            assert_eq!(ends(flags).as_deref(), expected, "{flags:?}");
        }
    }
}
