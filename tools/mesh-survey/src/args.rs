//! The command line.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, ValueEnum};
use jiff::Timestamp;
use mesh_cli::{EXIT_CODES, OutputArgs};
use mesh_cluster::ClusterArgs;
use mesh_records::{Consistency, Scope};

use crate::look::Wish;

/// List the Linkerd control planes and proxies that run in a cluster
///
/// Reads the API server and writes facts without judging them: control planes, extensions, one
/// record for each workload that is meshed or should be, anomalies, and what the tool had no
/// permission to read. Changes nothing.
#[derive(Clone, Debug, Parser)]
#[command(name = "mesh-survey", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Survey only this namespace (may be repeated); mesh-skewcheck then treats the survey as
    /// partial
    // An empty value usually comes from an unset shell variable, and would not limit the survey.
    #[arg(short, long, value_name = "NAMESPACE", value_delimiter = ',',
          value_parser = NonEmptyStringValueParser::new())]
    namespace: Vec<String>,
    /// Survey all namespaces (the default)
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Survey only pods with these labels; mesh-skewcheck then treats the survey as partial
    #[arg(short = 'l', long, value_name = "LABELS", value_parser = NonEmptyStringValueParser::new())]
    selector: Option<String>,
    /// List only pods with the label linkerd.io/control-plane-ns: faster, but it misses pods that
    /// lack their proxy; mesh-skewcheck then treats the survey as partial
    #[arg(long)]
    meshed_only: bool,
    /// Copy this label of the workload, or else of its namespace, into its record (may be repeated)
    #[arg(long, value_name = "KEY", value_delimiter = ',',
          value_parser = NonEmptyStringValueParser::new())]
    label: Vec<String>,
    /// Also write one record for each proxy
    #[arg(long)]
    pods: bool,
    /// Also send one dry-run pod to each namespace with workloads, and tell what a new pod would get
    /// there. Nothing is created, but the API server asks for the right to create pods
    #[arg(long, conflicts_with = "from")]
    probe: bool,
    /// How current the lists must be. `cached` takes them from the API server's watch cache: that is
    /// the cheapest for the server, but they may be some seconds old
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        default_value_t,
        conflicts_with = "from"
    )]
    consistency: Freshness,
    /// Also look for a control plane in this namespace, even if no label marks it
    #[arg(short = 'L', long, value_name = "NAMESPACE", default_value = "linkerd",
          value_parser = NonEmptyStringValueParser::new())]
    linkerd_namespace: String,
    #[command(flatten)]
    pub(crate) dump: DumpArgs,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The values of `--consistency`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Freshness {
    /// As current as the cluster's database
    #[default]
    Current,
    /// From the watch cache, as old as that is; not for the last answer
    Cached,
}

/// What is read instead of a cluster.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DumpArgs {
    /// Read the output of `kubectl get … -o json` or `-o yaml` instead of a cluster: files,
    /// directories, or `-` for standard input; an object of several files counts once, and the
    /// output of `kubectl version -o json` tells the version of Kubernetes
    #[arg(
        long, value_name = "FILE", num_args = 1.., help_heading = "Dump",
        conflicts_with_all = ["namespace", "selector", "meshed_only", "kubeconfig", "context"],
    )]
    pub(crate) from: Vec<PathBuf>,
    /// The time at which the dump was taken (RFC 3339); the dump itself does not have it
    #[arg(long, value_name = "TIME", requires = "from", help_heading = "Dump")]
    pub(crate) taken_at: Option<Timestamp>,
}

impl Args {
    pub(crate) fn wish(&self) -> Wish {
        let mut namespaces = self.namespace.clone();
        namespaces.sort();
        namespaces.dedup();
        Wish {
            namespaces,
            selector: self.selector.clone(),
            meshed_only: self.meshed_only,
            linkerd_namespace: self.linkerd_namespace.clone(),
            label_keys: self.label.clone(),
            list_proxies: self.pods,
            probe: self.probe,
            consistency: match self.consistency {
                Freshness::Current => Consistency::Current,
                Freshness::Cached => Consistency::Cached,
            },
        }
    }
}

/// Returns what limits the survey, for the `stream` record.
pub(crate) fn scope(wish: &Wish) -> Scope {
    Scope {
        namespaces: wish.namespaces.clone(),
        selector: wish.labels(),
        ..Scope::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_namespace_or_selector_is_refused() {
        for flags in [["-n", ""], ["-n", "shop,"], ["-l", ""], ["-L", ""]] {
            let line = ["mesh-survey"].into_iter().chain(flags);
            assert!(Args::try_parse_from(line).is_err(), "{flags:?}");
        }
    }

    #[test]
    fn only_a_survey_of_everything_has_an_empty_scope() {
        let table = [
            (&[][..], true),
            (&["-A"], true),
            (&["--pods"], true),
            (&["-L", "mesh"], true),
            (&["-n", "shop"], false),
            (&["-n", "shop,bank"], false),
            (&["-l", "app=web"], false),
            (&["--meshed-only"], false),
        ];
        for (flags, whole) in table {
            let args = Args::parse_from([&["mesh-survey"], flags].concat());
            assert_eq!(scope(&args.wish()).is_whole(), whole, "{flags:?}");
        }
    }
}
