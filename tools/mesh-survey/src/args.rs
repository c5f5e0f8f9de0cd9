//! The command line.

use std::path::PathBuf;

use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use jiff::Timestamp;
use mesh_cli::{EXIT_CODES, OutputArgs};
use mesh_cluster::ClusterArgs;
use mesh_records::Scope;

use crate::look::Wish;

/// Survey which proxies and which control plane run in a cluster
///
/// Reads the API server and writes facts, no judgements: control planes, extensions, one record
/// for each owner of meshed pods or of pods that should be meshed, what is odd, and what could not
/// be seen. Changes nothing.
#[derive(Clone, Debug, Parser)]
#[command(name = "mesh-survey", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Look only at this namespace (may be repeated); a gate takes the result for a part
    // An empty value usually comes from an unset shell variable, and would not limit the survey.
    #[arg(short, long, value_name = "NAMESPACE", value_delimiter = ',',
          value_parser = NonEmptyStringValueParser::new())]
    namespace: Vec<String>,
    /// Look at all namespaces, which is the default
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Look only at pods with these labels; a gate takes the result for a part
    #[arg(short = 'l', long, value_name = "LABELS", value_parser = NonEmptyStringValueParser::new())]
    selector: Option<String>,
    /// Look only at pods with the mesh's label: faster, but blind for pods that lack their proxy
    #[arg(long)]
    meshed_only: bool,
    /// Give each workload this label of its own, else of its namespace (may be repeated)
    #[arg(long, value_name = "KEY", value_delimiter = ',',
          value_parser = NonEmptyStringValueParser::new())]
    label: Vec<String>,
    /// Write a record for each proxy as well
    #[arg(long)]
    pods: bool,
    /// Look for a control plane here too, whatever the labels of namespaces and Deployments say
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

/// What is read instead of a cluster.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DumpArgs {
    /// Read what `kubectl get … -o json` wrote instead of a cluster: files, folders of *.json, or `-`
    #[arg(
        long, value_name = "FILE", num_args = 1.., help_heading = "Dump",
        conflicts_with_all = ["namespace", "selector", "meshed_only", "kubeconfig", "context"],
    )]
    pub(crate) from: Vec<PathBuf>,
    /// When the dump was taken (RFC 3339), which it does not say itself
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
