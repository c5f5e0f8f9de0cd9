//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum as _};
use mesh_actor::ActorArgs;
use mesh_cli::{DryRun, EXIT_CODES};
use mesh_records::{Explained, parse_duration, parse_timeout, sayable_address};
use mesh_versions::{Releases, Target};

use crate::identity::Key;
use crate::installer::driver::Driver;
use crate::overrides::check_set;
use crate::render::Conflicts;

/// Upgrade the Linkerd control plane, and watch it until the upgrade is proven
///
/// Reads a verdict that passes from standard input:
///
///   mesh-survey | mesh-skewcheck --to stable-2.14.10 | mesh-cp-upgrade -f values.yaml
#[derive(Parser, Debug)]
#[command(name = "mesh-cp-upgrade", version, after_help = EXIT_CODES, max_term_width = 100)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// A values file for the control plane, or a pipe such as <(sops -d values.yaml); read once, when
    /// the run begins (may be repeated). With helm, pass all your values: helm drops those of the
    /// installed release. The linkerd CLI merges the file into its stored values
    #[arg(short = 'f', long = "values", value_name = "FILE")]
    pub(crate) values: Vec<PathBuf>,

    /// Set one value, as helm and the linkerd CLI take it (may be repeated). The records keep it, so
    /// a secret is refused here
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,

    /// Set one value to what is in a file, which is read once, when the run begins (may be repeated)
    #[arg(long, value_name = "KEY=FILE")]
    pub(crate) set_file: Vec<String>,

    /// Keep the values that the installed release was given, over the defaults of the new chart; those
    /// of this run count over them. Only with helm: the linkerd CLI does so by itself
    #[arg(long)]
    pub(crate) reset_then_reuse_values: bool,

    /// The chart of the control plane, in any form that helm accepts; read once, when the run begins;
    /// the default is the chart in the repository of the target's channel
    #[arg(long, value_name = "CHART", requires = "crds_chart")]
    pub(crate) chart: Option<String>,

    /// The chart of the custom resource definitions (CRDs)
    #[arg(long, value_name = "CHART", requires = "chart")]
    pub(crate) crds_chart: Option<String>,

    /// The version of the control plane's chart
    #[arg(long, value_name = "VERSION")]
    pub(crate) chart_version: Option<String>,

    /// The version of the CRDs' chart
    #[arg(long, value_name = "VERSION")]
    pub(crate) crds_chart_version: Option<String>,

    /// The target; it must be the same as in the verdict
    #[arg(long, value_name = "VERSION", value_parser = target)]
    pub(crate) to: Option<Target>,

    /// Upgrade without a verdict; needs --reason and --to
    #[arg(long, requires = "reason", requires = "to")]
    pub(crate) without_gate: bool,

    /// The reason to upgrade without a verdict; the records keep it
    #[arg(long, value_name = "TEXT", requires = "without_gate")]
    pub(crate) reason: Option<String>,

    /// Say what changes in the objects of the releases: which are new, gone or changed, and each field
    #[arg(long, conflicts_with = "rollback")]
    pub(crate) diff: bool,

    /// Before the first write, save what is needed to go back in a new folder in this one: values,
    /// revisions, definitions, objects and linkerd-config, without private keys and other secrets; its
    /// about.yaml lists what is not whole without them
    #[arg(long, value_name = "DIR", conflicts_with = "rollback")]
    pub(crate) backup: Option<PathBuf>,

    /// Keep private keys and other secrets in the backup
    #[arg(long, requires = "backup")]
    pub(crate) backup_secrets: bool,

    /// Go back to the last revision that worked if the newest change failed, else to the version before, or
    /// to --to, with `helm rollback`, for a control plane that helm
    /// installed: needs no verdict, is rehearsed, asks and is watched like an upgrade, and names the
    /// proxies that are newer than the control plane then. The CRDs stay
    #[arg(long, conflicts_with_all = ["values", "set", "set_file", "reset_then_reuse_values", "chart",
        "crds_chart", "chart_version", "crds_chart_version", "without_gate"])]
    pub(crate) rollback: bool,

    /// If the upgrade fails after the control plane was touched, go back to the revision before it like
    /// --rollback; the exit code is 1 all the same. A run that is stopped, or that cannot see what
    /// became of the upgrade, only says how to go back.
    /// Refused before anything is written if there is no way back
    #[arg(long, conflicts_with = "rollback")]
    pub(crate) rollback_on_failure: bool,

    /// Only watch an upgrade that something else performs, such as Argo CD, Flux, Buoyant's operator
    /// or you by hand: needs --to and no verdict, takes no lock, changes nothing
    #[arg(long, requires = "to", conflicts_with_all = OF_UPGRADES)]
    pub(crate) watch_only: bool,

    /// Go on although this changes, or may be of another release (may be repeated)
    #[arg(long, value_enum, value_name = "KEY", value_delimiter = ',', action = ArgAction::Append)]
    pub(crate) allow_change: Vec<Key>,

    /// Ask whether the upgrade may begin now, change nothing and end: like --dry-run=server, but what
    /// stands in the way is the answer no (exit code 1), a lock that somebody holds too; with code 0
    /// nothing that can be looked at before the write does. Code 2 is no answer: something could not
    /// be looked at, such as a chart repository that does not answer
    #[arg(long, conflicts_with_all = ["yes", "dry_run"])]
    pub(crate) preflight: bool,

    /// Let helm overwrite fields that somebody else has set by hand; only where helm 4 applies the
    /// release on the server
    #[arg(long)]
    pub(crate) force_conflicts: bool,

    /// Time limit for each helm upgrade, or with --watch-only for the upgrade to begin, and again for
    /// the components to become ready
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_timeout)]
    pub(crate) timeout: Duration,

    /// How long to watch the components after all of them are ready; the time begins anew if one does
    /// not stay so
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration,
        overrides_with = "settle")]
    pub(crate) settle: Duration,

    /// How long a helm release may stay pending without a change before it counts as abandoned
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_timeout)]
    pub(crate) pending_timeout: Duration,

    /// Show with a plain dry-run pod in this namespace which proxy new pods get; the default is one
    /// from a workload's own template in each of up to ten namespaces of the mesh; no pod is created
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) prove_in: Option<String>,

    /// The namespace of the control plane; the default is the one in the verdict
    #[arg(short = 'L', long, value_name = "NAMESPACE")]
    pub(crate) linkerd_namespace: Option<String>,

    /// The helm program, 3.14 or later, or 4; a helm command that only reads may take ten times
    /// --request-timeout
    #[arg(long, value_name = "PATH", env = "HELM", default_value = "helm")]
    pub(crate) helm: PathBuf,

    /// Where helm keeps its releases: secret, configmap or sql; in the cluster they must be in this
    /// very one
    #[arg(
        long,
        value_name = "KIND",
        value_parser = driver,
        env = "HELM_DRIVER",
        default_value = "secret"
    )]
    pub(crate) helm_driver: Driver,

    /// The linkerd CLI of the target's version, needed if the CLI installed the control plane; one
    /// command may take ten times --request-timeout
    #[arg(long, value_name = "PATH", env = "LINKERD", default_value = "linkerd")]
    pub(crate) linkerd: PathBuf,

    #[command(flatten)]
    pub(crate) actor: ActorArgs,
}

/// The flags of what --watch-only does not do.
const OF_UPGRADES: [&str; 18] = [
    "preflight",
    "diff",
    "backup",
    "rollback",
    "rollback_on_failure",
    "values",
    "set",
    "set_file",
    "reset_then_reuse_values",
    "chart",
    "crds_chart",
    "chart_version",
    "crds_chart_version",
    "without_gate",
    "allow_change",
    "force_conflicts",
    "yes",
    "dry_run",
];

// The value may come from the environment, so the error names both places.
fn driver(text: &str) -> Result<Driver, String> {
    Driver::from_str(text, false).map_err(|_| {
        "--helm-driver and $HELM_DRIVER take secret, configmap or sql: where helm keeps the releases"
            .to_owned()
    })
}

// Aliases in the releases file are targets too.
fn target(text: &str) -> Result<Target, String> {
    Releases::embedded()
        .target(text)
        .map_err(|error| match error.hint() {
            Some(hint) => format!("{error}; {hint}"),
            None => error.to_string(),
        })
}

impl Args {
    /// Turns a flag that stands for others into those.
    pub(crate) fn spelled_out(mut self) -> Self {
        if self.preflight {
            self.actor.consent.dry_run = DryRun::Server;
        }
        self
    }

    /// Returns true if a chart flag was given; these work only with helm.
    pub(crate) fn names_charts(&self) -> bool {
        let versions = [&self.chart_version, &self.crds_chart_version];
        let charts = [&self.chart, &self.crds_chart];
        charts
            .into_iter()
            .chain(versions)
            .any(|named| named.is_some())
    }

    /// Returns what helm does with fields that somebody else has set.
    pub(crate) fn conflicts(&self) -> Conflicts {
        match self.force_conflicts {
            true => Conflicts::Overwritten,
            false => Conflicts::Refused,
        }
    }

    fn needs_verdict(&self) -> bool {
        !self.without_gate && !self.watch_only && !self.rollback
    }

    /// The flags of `mesh-skewcheck` that ask for this run's verdict; none without a verdict.
    pub(crate) fn question(&self) -> Option<String> {
        let target = self.to.as_ref().map(ToString::to_string);
        let target = target.unwrap_or_else(|| "VERSION".to_owned());
        self.needs_verdict().then(|| format!("--to {target}"))
    }

    /// Checks the flags that can be checked without the cluster.
    pub(crate) fn check(&self) -> Result<(), Explained> {
        self.set.iter().try_for_each(|set| check_set(set))?;
        let mut charts = [&self.chart, &self.crds_chart].into_iter().flatten();
        // Every user of the machine can read helm's arguments.
        if charts.any(|chart| sayable_address(chart) != *chart) {
            return Err(Explained::new(
                "the address of a chart contains a user name, a password or parameters (?…, #…, ;…)",
                "download the chart and pass its path; or name it as REPOSITORY/CHART after `helm repo add REPOSITORY URL --username \
                 NAME --password-stdin`, or as oci://… after `helm registry login`",
            ));
        }
        match &self.to {
            Some(to @ (Target::Line(_) | Target::Latest)) if !self.needs_verdict() => {
                Err(Explained::new(
                    format!("--to {to} does not name a release"),
                    "name the exact release if there is no verdict: --to stable-2.14.10",
                ))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_valid_and_help_lists_the_exit_codes() {
        Args::command().debug_assert();
        assert!(
            Args::command()
                .render_help()
                .to_string()
                .contains("Exit codes")
        );
    }

    #[test]
    fn a_chart_with_a_password_in_its_address_is_refused() {
        for (chart, refused) in [
            ("https://me:hush@host/c.tgz", true),
            ("oci://hush@host/c", true),
            (
                "oci://me:hush@host/c@sha256:0000000000000000000000000000000000000000000000000000000000000000",
                true,
            ),
            (
                "oci://host/c@sha256:0000000000000000000000000000000000000000000000000000000000000000",
                false,
            ),
            ("oci:me:hush@host/c", true),
            ("https://host/c#token=hush", true),
            ("https://me:hu sh@host/c", true),
            ("oci://host/c", false),
            ("repo/c", false),
        ] {
            let args = ["mesh-cp-upgrade", "--chart", "c", "--crds-chart", chart];
            let checked = Args::try_parse_from(args).unwrap().check();
            assert_eq!(checked.is_err(), refused, "{chart}");
            let said = checked.err().map(|error| error.to_string());
            assert!(!said.unwrap_or_default().contains("hush"), "{chart}");
        }
    }

    #[test]
    fn helm_driver_is_spelled_as_helm_spells_it() {
        for (text, driver) in [
            ("", Driver::Secret),
            ("secret", Driver::Secret),
            ("secrets", Driver::Secret),
            ("configmaps", Driver::ConfigMap),
            ("sql", Driver::Sql),
        ] {
            let args = Args::try_parse_from(["mesh-cp-upgrade", "--helm-driver", text]).unwrap();
            assert_eq!(args.helm_driver, driver, "{text}");
        }
        let memory = Args::try_parse_from(["mesh-cp-upgrade", "--helm-driver", "memory"]);
        let said = memory.unwrap_err().to_string();
        let both = "--helm-driver and $HELM_DRIVER take secret, configmap or sql";
        assert!(said.contains(both), "{said}");
    }

    #[test]
    fn without_gate_requires_reason_and_to() {
        let parse =
            |args: &[&str]| Args::try_parse_from([&["mesh-cp-upgrade"], args].concat()).is_ok();
        assert!(parse(&[
            "--without-gate",
            "--reason",
            "r",
            "--to",
            "stable-2.14.10"
        ]));
        assert!(!parse(&["--without-gate", "--to", "stable-2.14.10"]));
        assert!(!parse(&["--without-gate", "--reason", "r"]));
        assert!(!parse(&["--reason", "r"]));
        assert!(!parse(&["--to", "2.x"]));
        assert!(!parse(&["--chart", "c"]));
    }
}
