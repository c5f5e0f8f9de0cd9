//! Runs the linkerd CLI and reads its output.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use mesh_cluster::Cluster;
use mesh_records::{Explained, Paste};

use crate::anew::beside;
use crate::args::Args;
use crate::child::Program;
use crate::installer::back::WayBack;
use crate::overrides::{Overrides, Spelling};
use crate::render::{self, Manifest, Merge, Rendered};
use crate::unseen::Question;
use crate::values::Given;

/// The linkerd CLI with the flags for one control plane.
#[derive(Debug)]
pub(crate) struct Cli {
    program: Program,
    namespace: String,
    /// Makes commands for people.
    paste: Paste,
}

/// Which of the CLI's two manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Half {
    Crds,
    ControlPlane,
}

const WAY_OUT: &str = "install the linkerd CLI, or name its path with --linkerd or $LINKERD";

impl Cli {
    /// Makes the CLI for the control plane in `namespace` of the connected `cluster`, of which
    /// `kubeconfig` is the run's own file.
    pub(crate) fn new(args: &Args, cluster: &Cluster, kubeconfig: &Path, namespace: &str) -> Self {
        Self {
            program: Program {
                path: args.linkerd.clone(),
                way_out: WAY_OUT,
                request: cluster.deadline(),
                environment: Vec::new(),
                kubeconfig: kubeconfig.to_owned(),
            },
            namespace: namespace.to_owned(),
            paste: cluster.paste(),
        }
    }

    /// Fails if the CLI cannot be started or does not have the target's version: a CLI upgrades
    /// only to its own version.
    pub(crate) async fn check(&self, target: &str) -> anyhow::Result<()> {
        let args = ["version", "--client", "--short"];
        let said = self.program.says(&args).await?;
        if said == target {
            return Ok(());
        }
        let program = &self.program;
        Err(Explained::new(
            format!("`{program}` is not the linkerd CLI of {target}: {said}"),
            "install the CLI of the target version and name its path with --linkerd or $LINKERD: \
             the CLI upgrades only to its own version",
        )
        .into())
    }

    /// Renders what an upgrade would apply, twice, to learn what a render makes anew. The manifest
    /// contains keys and is never written anywhere.
    pub(crate) async fn render(
        &self,
        half: Half,
        values: &Overrides,
        target: &str,
    ) -> anyhow::Result<Rendered> {
        let once = || self.render_once(half, values, target);
        let (one, other) = futures::future::try_join(once(), once()).await?;
        Ok(beside(one, &other))
    }

    async fn render_once(
        &self,
        half: Half,
        values: &Overrides,
        target: &str,
    ) -> anyhow::Result<Rendered> {
        let args = self.upgrade_args(half, values, Spelling::Run);
        let what = "`linkerd upgrade` failed";
        let stdout = self.program.read(&args, Question::Opinion, what).await?;
        let text = String::from_utf8(stdout)
            .context("the output of `linkerd upgrade` is not UTF-8 text")?;
        let manifests =
            render::manifests(&text).context("cannot parse the output of `linkerd upgrade`")?;
        Ok(Rendered {
            chart: format!("linkerd {target}"),
            app_version: Some(target.to_owned()),
            manifests,
            hooks: Vec::new(),
            fixed: BTreeMap::new(),
            merge: Merge::default(),
            given: Given::default(),
        })
    }

    /// Lists the objects of earlier versions that `linkerd prune` would delete.
    pub(crate) async fn orphans(&self) -> anyhow::Result<Vec<Manifest>> {
        let args = self.args(&["prune"]);
        let listing = self.program.read(&args, Question::Facts, "`linkerd prune`");
        let stdout = listing.await?;
        let text = String::from_utf8(stdout).context("the manifest is not UTF-8 text")?;
        let what = "cannot parse the output of `linkerd prune`";
        render::manifests(&text).context(what)
    }

    /// The command whose manifest is applied, for people. It contains no secrets: those come from
    /// files.
    pub(crate) fn command(&self, half: Half, values: &Overrides) -> Vec<String> {
        let mut command = vec!["linkerd".to_owned()];
        command.extend(self.upgrade_args(half, values, Spelling::Shown));
        command.extend(self.paste.flags());
        command
    }

    /// The command for the digest: without names that decide nothing.
    pub(crate) fn essence(&self, half: Half, values: &Overrides) -> String {
        let values = values.flags(Spelling::Digest).join("\0");
        format!("linkerd\0{half:?}\0{}\0{values}", self.namespace)
    }

    /// Returns the way back, which needs the CLI of the earlier version.
    pub(crate) fn way_back(&self) -> WayBack {
        let upgrade = ["upgrade", "--linkerd-namespace", &self.namespace];
        let upgrade = self.paste.linkerd("linkerd", &upgrade);
        WayBack::Cli(format!("{upgrade} | {}", self.apply()))
    }

    /// Returns a command for people with these words.
    pub(crate) fn pasted(&self, verb: &[&str]) -> String {
        let namespace = ["--linkerd-namespace", &self.namespace];
        let program = self.program.to_string();
        self.paste.linkerd(&program, &[verb, &namespace].concat())
    }

    fn apply(&self) -> String {
        self.paste.kubectl(&["apply", "-f", "-"])
    }

    fn upgrade_args(&self, half: Half, values: &Overrides, spelling: Spelling) -> Vec<String> {
        let mut args = match half {
            Half::Crds => self.args(&["upgrade", "--crds"]),
            Half::ControlPlane => self.args(&["upgrade"]),
        };
        args.extend(values.flags(spelling));
        args
    }

    fn args(&self, verb: &[&str]) -> Vec<String> {
        let mut args: Vec<String> = verb.iter().map(ToString::to_string).collect();
        args.extend(["--linkerd-namespace".to_owned(), self.namespace.clone()]);
        args
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::snapshot::Copied;

    #[test]
    fn every_command_has_the_flags_of_the_same_cluster() {
        let cli = Cli {
            program: Program {
                path: "/opt/linkerd".into(),
                way_out: WAY_OUT,
                request: Duration::from_secs(1),
                environment: Vec::new(),
                kubeconfig: "/private/kubeconfig".into(),
            },
            namespace: "mesh".to_owned(),
            paste: Paste {
                context: Some("eu".to_owned()),
                ..Paste::default()
            },
        };
        let values = Overrides {
            files: vec![Copied {
                name: "a.yaml".to_owned(),
                path: "/private/a.yaml".into(),
            }],
            ..Overrides::default()
        };
        let rest = "--linkerd-namespace mesh -f a.yaml --context eu";
        let crds = cli.command(Half::Crds, &values).join(" ");
        assert_eq!(crds, format!("linkerd upgrade --crds {rest}"));
        let control_plane = cli.command(Half::ControlPlane, &values).join(" ");
        assert_eq!(control_plane, format!("linkerd upgrade {rest}"));
        let back = "linkerd upgrade --linkerd-namespace mesh --context eu | kubectl --context eu apply -f -";
        assert_eq!(cli.way_back().command(), back);
        let offered = cli.way_back().offered("go back");
        let condition = "go back, by the linkerd CLI of the old version (not rehearsed: ";
        assert!(offered.starts_with(condition), "{offered}");
        assert!(offered.ends_with(&format!(": {back}")), "{offered}");
        assert_eq!(
            cli.pasted(&["check"]),
            "/opt/linkerd check --linkerd-namespace mesh --context eu"
        );
    }
}
