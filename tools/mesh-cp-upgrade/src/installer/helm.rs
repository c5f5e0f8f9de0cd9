//! Runs helm and reads its output.

use std::path::PathBuf;

use anyhow::Context as _;
use mesh_cluster::{Cluster, ClusterArgs};
use mesh_records::{Explained, Release};
use serde::Deserialize;
use serde_json::Value;

use crate::child::{Program, Writer};
use crate::installer::history::History;
use crate::render::{self, Manifest, Rendered};

/// helm with the flags for one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Helm {
    program: Program,
    /// The flags that choose the cluster, as kubectl spells them.
    at: Vec<String>,
}

/// A chart, with the name that helm takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chart {
    pub(crate) chart: String,
    pub(crate) version: Option<String>,
}

/// An upgrade of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    pub(crate) release: Release,
    pub(crate) chart: Chart,
    pub(crate) values: Values,
}

/// Which values a release gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// The values of the files over the chart's defaults. The release's old values are dropped,
    /// because they would keep the old version.
    Reset(Vec<PathBuf>),
    /// The user's own of the release over the chart's: definitions have no version of their own.
    Keep,
}

#[derive(Deserialize)]
struct Found {
    version: String,
    app_version: String,
}

const WAY_OUT: &str = "install helm 3.14 or later, or name its path with --helm or $HELM";

impl Helm {
    /// Makes helm for the connected `cluster`.
    pub(crate) fn new(path: PathBuf, cluster: &Cluster, args: &ClusterArgs) -> Self {
        Self {
            program: Program {
                path,
                way_out: WAY_OUT,
                request: cluster.deadline(),
            },
            at: cluster.flags(args),
        }
    }

    /// Fails if helm cannot be started or its version is not supported.
    pub(crate) async fn check(&self) -> anyhow::Result<()> {
        let args = ["version", "--template", "{{.Version}}"];
        let said = self.program.says(&args).await?;
        match major_minor(&said) {
            Some((3, 14..) | (4, _)) => Ok(()),
            Some(_) | None => {
                let program = &self.program;
                let what =
                    format!("`{program}` is neither helm 4 nor helm 3.14 or a later 3: {said}");
                Err(Explained::new(what, WAY_OUT).into())
            }
        }
    }

    /// Reads a release's revisions.
    pub(crate) async fn history(&self, release: &Release) -> anyhow::Result<History> {
        let name = &release.name;
        let args = self.args(release, &["history", name, "--max", "20", "-o", "json"]);
        let answer = self
            .program
            .read(
                &args,
                &format!("cannot read the history of the helm release {name}"),
            )
            .await?;
        History::parse(&answer)
            .with_context(|| format!("cannot parse the history of the helm release {name}"))
    }

    /// The values that a release was given. They contain secrets and are never written anywhere.
    pub(crate) async fn values(&self, release: &Release) -> anyhow::Result<Value> {
        let name = &release.name;
        let args = self.args(release, &["get", "values", name, "-o", "json"]);
        let answer = self
            .program
            .read(
                &args,
                &format!("cannot read the values of the helm release {name}"),
            )
            .await?;
        let values = serde_json::from_slice(&answer);
        values.map_err(|_| anyhow::anyhow!("cannot parse the values of the release {name}"))
    }

    /// Reads the objects of a release as they were installed.
    pub(crate) async fn installed(&self, release: &Release) -> anyhow::Result<Vec<Manifest>> {
        let name = &release.name;
        let args = self.args(release, &["get", "manifest", name]);
        let answer = self
            .program
            .read(
                &args,
                &format!("cannot read the objects of the helm release {name}"),
            )
            .await?;
        let text = String::from_utf8(answer).context("the manifest is not UTF-8 text")?;
        render::manifests(&text)
            .with_context(|| format!("cannot parse the objects of the helm release {name}"))
    }

    /// Renders what an upgrade would apply. helm reads the cluster but writes nothing.
    pub(crate) async fn render(&self, upgrade: &Upgrade) -> anyhow::Result<Rendered> {
        let mut args = self.upgrade_args(upgrade);
        args.extend(["--dry-run=server", "-o", "json"].map(str::to_owned));
        let what = format!("cannot render the chart {}", upgrade.chart.chart);
        Rendered::parse(&self.program.read(&args, &what).await?).context(what)
    }

    /// Returns the version of the chart whose appVersion is `target`, from helm's index of
    /// repositories.
    pub(crate) async fn search(&self, chart: &str, target: &str) -> anyhow::Result<Option<String>> {
        let args = [
            "search",
            "repo",
            chart,
            "--versions",
            "--devel",
            "-o",
            "json",
        ];
        let args = args.map(str::to_owned);
        let answer = self
            .program
            .read(
                &args,
                &format!("cannot search the Helm repositories for {chart}"),
            )
            .await?;
        let found: Vec<Found> =
            serde_json::from_slice(&answer).context("cannot parse the output of `helm search`")?;
        let version = found.into_iter().find(|found| found.app_version == target);
        Ok(version.map(|found| found.version))
    }

    /// Starts an upgrade.
    pub(crate) fn upgrade(&self, upgrade: &Upgrade) -> anyhow::Result<Writer> {
        self.program.start(&self.upgrade_args(upgrade))
    }

    /// The command that an upgrade runs. It contains no secrets: values come from files.
    pub(crate) fn command(&self, upgrade: &Upgrade) -> Vec<String> {
        let mut command = vec!["helm".to_owned()];
        command.extend(self.upgrade_args(upgrade));
        command
    }

    /// Returns the command for a rollback to a revision.
    pub(crate) fn way_back(&self, release: &Release, revision: u32) -> String {
        let revision = revision.to_string();
        let args = self.args(release, &["rollback", &release.name, &revision]);
        format!("helm {}", args.join(" "))
    }

    /// Returns the command that makes helm forget an unfinished revision. No object changes. A
    /// rollback is not offered here, because the API server may refuse older definitions.
    pub(crate) fn forget(&self, release: &Release, revision: u32) -> String {
        let Release { name, namespace } = release;
        let labels = format!("owner=helm,name={name},version={revision}");
        let delete = [
            "kubectl", "delete", "secret", "-n", namespace, "-l", &labels,
        ];
        let command: Vec<&str> = delete
            .into_iter()
            .chain(self.at.iter().map(String::as_str))
            .collect();
        command.join(" ")
    }

    // No `--wait` and no `--atomic`: helm then only applies, which takes seconds; this tool watches
    // the components itself.
    fn upgrade_args(&self, upgrade: &Upgrade) -> Vec<String> {
        let Upgrade {
            release,
            chart,
            values,
        } = upgrade;
        let mut args = self.args(release, &["upgrade", &release.name, &chart.chart]);
        if let Some(version) = &chart.version {
            args.extend(["--version".to_owned(), version.clone()]);
        }
        match values {
            Values::Keep => args.push("--reset-then-reuse-values".to_owned()),
            Values::Reset(files) => {
                args.push("--reset-values".to_owned());
                for file in files {
                    args.extend(["-f".to_owned(), file.display().to_string()]);
                }
            }
        }
        args
    }

    fn args(&self, release: &Release, verb: &[&str]) -> Vec<String> {
        let mut args: Vec<String> = verb.iter().map(ToString::to_string).collect();
        args.extend(["-n".to_owned(), release.namespace.clone()]);
        args.extend(self.at.iter().map(|flag| match flag.as_str() {
            "--context" => "--kube-context".to_owned(),
            "--as" => "--kube-as-user".to_owned(),
            "--as-group" => "--kube-as-group".to_owned(),
            other => other.to_owned(),
        }));
        args
    }
}

// === impl Chart ===

impl std::fmt::Display for Chart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{} {version}", self.chart),
            None => f.write_str(&self.chart),
        }
    }
}

fn major_minor(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn helm() -> Helm {
        Helm {
            program: Program {
                path: "helm".into(),
                way_out: WAY_OUT,
                request: Duration::from_secs(1),
            },
            at: ["--context", "eu"].map(str::to_owned).to_vec(),
        }
    }

    fn upgrade(values: Values) -> Upgrade {
        Upgrade {
            release: Release {
                name: "cp".into(),
                namespace: "linkerd".into(),
            },
            chart: Chart {
                chart: "repo/cp".into(),
                version: Some("1.16.11".into()),
            },
            values,
        }
    }

    #[test]
    fn a_control_plane_never_reuses_the_releases_values() {
        let command = helm().command(&upgrade(Values::Reset(vec![
            "a.yaml".into(),
            "b.yaml".into(),
        ])));
        assert_eq!(
            command.join(" "),
            "helm upgrade cp repo/cp -n linkerd --kube-context eu --version 1.16.11 --reset-values \
             -f a.yaml -f b.yaml"
        );
    }

    #[test]
    fn forget_names_the_secret_of_the_revision() {
        let release = upgrade(Values::Keep).release;
        assert_eq!(
            helm().forget(&release, 2),
            "kubectl delete secret -n linkerd -l owner=helm,name=cp,version=2 --context eu"
        );
    }

    #[test]
    fn upgrade_args_have_no_wait_and_no_atomic() {
        for values in [Values::Keep, Values::Reset(Vec::new())] {
            let command = helm().command(&upgrade(values)).join(" ");
            for flag in [
                "--wait",
                "--atomic",
                "--force",
                "--reuse-values",
                "--install",
            ] {
                assert!(!command.contains(&format!(" {flag}")), "{command}");
            }
        }
    }

    #[test]
    fn a_version_is_read_from_what_helm_prints() {
        let table = [
            ("v3.19.0", Some((3, 19))),
            ("v4.2.3", Some((4, 2))),
            ("v3.14.0+g1", Some((3, 14))),
            ("3.19.0", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(major_minor(text), expected, "{text}");
        }
    }
}
