//! Runs helm and reads its output.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use mesh_cluster::Cluster;
use mesh_records::{Explained, Paste, Release, sayable};
use serde::Deserialize;

use crate::anew::{alone, beside, is_anew, may_be_anew};
use crate::args::Args;
use crate::child::{Program, Writer};
use crate::installer::driver::Driver;
use crate::overrides::{Overrides, Spelling};
use crate::render::{Conflicts, Rendered};
use crate::unseen::{Question, Unseen};

/// helm with the flags for one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Helm {
    pub(super) program: Program,
    /// Makes commands for people.
    paste: Paste,
    pub(crate) driver: Driver,
}

/// A chart: the name and version that it was asked for with, and the run's own archive of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chart {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) archive: PathBuf,
}

/// An upgrade of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    pub(crate) release: Release,
    pub(crate) chart: Chart,
    pub(crate) base: Base,
    pub(crate) overrides: Overrides,
    pub(crate) conflicts: Conflicts,
    pub(crate) schemas: Schemas,
}

/// What the values of a run are put over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// The chart's defaults. What the release was given is dropped: it may keep the old version.
    Chart,
    /// What the release was given, over the chart's defaults.
    Release,
}

#[derive(Deserialize)]
struct Found {
    version: String,
    app_version: String,
}

/// Whether helm also holds the objects against the API server's schemas. It reads those of all their
/// groups for that, which takes longer than the rest of a render.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schemas {
    Asked,
    /// A render has asked, or helm would hold nothing against them.
    Known,
}

const WAY_OUT: &str = "install helm 3.14 or later, or name its path with --helm or $HELM";

impl Helm {
    /// Makes helm for the connected `cluster`, of which `kubeconfig` is the run's own file.
    pub(crate) fn new(args: &Args, cluster: &Cluster, kubeconfig: &Path) -> Self {
        let driver = args.helm_driver;
        Self {
            program: Program {
                path: args.helm.clone(),
                way_out: WAY_OUT,
                request: cluster.deadline(),
                environment: vec![("HELM_DRIVER", driver.to_string())],
                kubeconfig: kubeconfig.to_owned(),
            },
            paste: cluster.paste(),
            driver,
        }
    }

    /// Fails if helm cannot be started or its version is not supported.
    pub(crate) async fn check(&self, conflicts: Conflicts) -> anyhow::Result<()> {
        let args = ["version", "--template", "{{.Version}}"];
        let said = self.program.says(&args).await?;
        match major_minor(&said) {
            Some((3, _)) if conflicts == Conflicts::Overwritten => Err(Explained::new(
                "helm 3 knows no conflicts: it overwrites what somebody else has set by itself",
                "leave out --force-conflicts",
            )
            .into()),
            Some((3, 14..) | (4, _)) => Ok(()),
            Some(_) | None => {
                let program = &self.program;
                let what =
                    format!("`{program}` is neither helm 4 nor helm 3.14 or a later 3: {said}");
                Err(Explained::new(what, WAY_OUT).into())
            }
        }
    }

    /// Renders what an upgrade of the definitions would apply. helm reads the cluster but writes
    /// nothing.
    pub(crate) async fn render_definitions(&self, upgrade: &Upgrade) -> anyhow::Result<Rendered> {
        let one = self.render_once(upgrade, upgrade.schemas).await?;
        // They have no certificates as a rule, and then a second render can show nothing.
        match may_be_anew(&one) {
            true => Ok(beside(
                one,
                &self.render_once(upgrade, Schemas::Known).await?,
            )),
            false => Ok(one),
        }
    }

    /// Renders what an upgrade of the control plane would apply, twice, to learn what a render makes
    /// anew.
    pub(crate) async fn render(&self, upgrade: &Upgrade) -> anyhow::Result<Rendered> {
        self.render_twice(upgrade, upgrade.schemas).await
    }

    async fn render_twice(&self, upgrade: &Upgrade, schemas: Schemas) -> anyhow::Result<Rendered> {
        let (one, other) = (
            self.render_once(upgrade, schemas),
            self.render_once(upgrade, Schemas::Known),
        );
        let (one, other) = futures::future::try_join(one, other).await?;
        Ok(beside(one, &other))
    }

    /// Renders once more what was agreed to. Where that made nothing anew, this may not either, and
    /// one render shows it.
    pub(crate) async fn render_again(
        &self,
        upgrade: &Upgrade,
        agreed: &Rendered,
    ) -> anyhow::Result<Rendered> {
        match is_anew(agreed) {
            true => self.render_twice(upgrade, Schemas::Known).await,
            false => Ok(alone(self.render_once(upgrade, Schemas::Known).await?)),
        }
    }

    async fn render_once(&self, upgrade: &Upgrade, schemas: Schemas) -> anyhow::Result<Rendered> {
        let upgrade = &Upgrade {
            schemas,
            ..upgrade.clone()
        };
        let mut args = self.upgrade_args(upgrade, Spelling::Run);
        args.extend(["--dry-run=server", "-o", "json"].map(str::to_owned));
        let what = format!("cannot render the chart {}", upgrade.chart);
        let rendered = self.program.read(&args, Question::Opinion, &what);
        Rendered::parse(&rendered.await?).context(what)
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
        let what = format!("cannot search the Helm repositories for {chart}");
        let answer = self.program.read(&args, Question::Facts, &what).await?;
        let found: Vec<Found> = match serde_json::from_slice(&answer) {
            Ok(found) => found,
            Err(error) => return Ok(Unseen::Garbled(error.to_string()).explain(what)?),
        };
        let version = found.into_iter().find(|found| found.app_version == target);
        Ok(version.map(|found| found.version))
    }

    /// Packs the chart in a folder into an archive in the folder `into`.
    pub(crate) async fn package(&self, chart: &Path, into: &Path) -> anyhow::Result<PathBuf> {
        let args = [
            "package",
            &chart.display().to_string(),
            "--destination",
            &into.display().to_string(),
        ];
        let args = args.map(str::to_owned);
        let packing = self
            .program
            .read(&args, Question::Opinion, "helm cannot pack it");
        packing.await?;
        only_archive(into)
    }

    /// Downloads a chart as an archive into the folder `into`.
    pub(crate) async fn pull(
        &self,
        chart: &str,
        version: Option<&str>,
        into: &Path,
    ) -> anyhow::Result<PathBuf> {
        let into_arg = into.display().to_string();
        let mut args = vec!["pull", chart, "--destination", &into_arg];
        args.extend(
            version
                .into_iter()
                .flat_map(|version| ["--version", version]),
        );
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let what = format!("cannot download the chart {}", sayable(chart));
        self.program.read(&args, Question::Facts, &what).await?;
        only_archive(into).context(what)
    }

    /// Starts an upgrade.
    pub(crate) fn upgrade(&self, upgrade: &Upgrade) -> anyhow::Result<Writer> {
        self.program
            .start(&self.upgrade_args(upgrade, Spelling::Run))
    }

    /// Starts a rollback.
    pub(crate) fn roll_back(&self, words: &[String]) -> anyhow::Result<Writer> {
        self.program.start(words)
    }

    /// The command of an upgrade, for people. It contains no secrets: those come from files.
    pub(crate) fn command(&self, upgrade: &Upgrade) -> Vec<String> {
        let mut command = vec!["helm".to_owned()];
        command.extend(self.upgrade_args(upgrade, Spelling::Shown));
        command
    }

    /// The command of an upgrade, for the digest.
    pub(crate) fn essence(&self, upgrade: &Upgrade) -> String {
        self.upgrade_args(upgrade, Spelling::Digest).join("\0")
    }

    /// Returns the command for a rollback to a revision.
    pub(crate) fn way_back(&self, words: &[String]) -> String {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.pasted(&words)
    }

    /// Returns a command for people with these words.
    pub(crate) fn pasted(&self, words: &[&str]) -> String {
        let command = self.paste.helm(&self.program.to_string(), words);
        match self.driver {
            Driver::Secret => command,
            driver @ (Driver::ConfigMap | Driver::Sql) => format!("HELM_DRIVER={driver} {command}"),
        }
    }

    /// Returns a command for people that uses no cluster.
    pub(crate) fn offline(&self, words: &[&str]) -> String {
        Paste::default().helm(&self.program.to_string(), words)
    }

    /// Returns the command that makes helm forget an unfinished revision, if helm keeps it in the
    /// cluster. No object changes. A rollback is not offered here, because the API server may refuse
    /// older definitions.
    pub(crate) fn forget(&self, release: &Release, revision: u32) -> Option<String> {
        if !self.driver.is_in_cluster() {
            return None;
        }
        let Release { name, namespace } = release;
        let labels = format!("owner=helm,name={name},version={revision}");
        let kind = self.driver.to_string();
        let delete = ["-n", namespace, "delete", &kind, "-l", &labels];
        Some(self.paste.kubectl(&delete))
    }

    // No `--wait` and no `--atomic`: helm then only applies, which takes seconds; this tool watches
    // the components itself.
    fn upgrade_args(&self, upgrade: &Upgrade, spelling: Spelling) -> Vec<String> {
        let Upgrade {
            release,
            chart,
            base,
            overrides,
            conflicts,
            schemas,
        } = upgrade;
        let archive = match spelling {
            Spelling::Run => chart.archive.display().to_string(),
            Spelling::Shown => chart.name.clone(),
            Spelling::Digest => "CHART".to_owned(),
        };
        let mut args = vec!["upgrade".to_owned(), release.name.clone(), archive];
        args.extend(["-n".to_owned(), release.namespace.clone()]);
        if spelling == Spelling::Shown {
            args.extend(self.paste.helm_flags());
            // The archive is of one version.
            let version = chart.version.iter();
            args.extend(version.flat_map(|it| ["--version".to_owned(), it.clone()]));
        }
        let base = match base {
            Base::Chart => "--reset-values",
            Base::Release => "--reset-then-reuse-values",
        };
        args.push(base.to_owned());
        args.extend(overrides.flags(spelling));
        args.extend(conflicts.flag().map(str::to_owned));
        // It decides nothing of what is written.
        if spelling != Spelling::Digest {
            args.extend(schemas.flag().map(str::to_owned));
        }
        args
    }

    pub(super) fn args(&self, release: &Release, verb: &[&str]) -> Vec<String> {
        let mut args: Vec<String> = verb.iter().map(ToString::to_string).collect();
        args.extend(["-n".to_owned(), release.namespace.clone()]);
        args
    }
}

// === impl Schemas ===

impl Schemas {
    /// Returns what to do with an API server of this version, such as `v1.34.2`. Since 1.27 each
    /// validates fields by itself; then helm finds out only that it does, and validates nothing.
    pub(crate) fn of(version: &str) -> Self {
        match major_minor(version) {
            Some((1, 27..) | (2.., _)) => Self::Known,
            Some(_) | None => Self::Asked,
        }
    }

    fn flag(self) -> Option<&'static str> {
        match self {
            Self::Asked => None,
            Self::Known => Some("--disable-openapi-validation"),
        }
    }
}

// Returns the one file that helm left in a folder.
fn only_archive(folder: &Path) -> anyhow::Result<PathBuf> {
    let entries = std::fs::read_dir(folder).context("cannot look for the archive")?;
    let all = entries.collect::<Result<Vec<_>, _>>();
    let all = all.context("cannot look for the archive")?;
    let archives: Vec<PathBuf> = all
        .iter()
        .map(std::fs::DirEntry::path)
        .filter(|path| path.extension().is_some_and(|of| of == "tgz"))
        .collect();
    match archives.as_slice() {
        [archive] => Ok(archive.clone()),
        [] => bail!("helm ended with 0 but made no archive"),
        _ => bail!("helm made more than one archive"),
    }
}

// === impl Chart ===

impl std::fmt::Display for Chart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{} {version}", self.name),
            None => f.write_str(&self.name),
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
    use crate::snapshot::Copied;

    fn helm() -> Helm {
        Helm {
            program: Program {
                path: "helm".into(),
                way_out: WAY_OUT,
                request: Duration::from_secs(1),
                environment: Vec::new(),
                kubeconfig: "/private/kubeconfig".into(),
            },
            paste: Paste {
                context: Some("eu".to_owned()),
                ..Paste::default()
            },
            driver: Driver::Secret,
        }
    }

    fn copied(name: &str) -> Copied {
        Copied {
            name: name.to_owned(),
            path: Path::new("/private").join(name),
        }
    }

    fn upgrade(base: Base, files: Vec<Copied>) -> Upgrade {
        Upgrade {
            release: Release {
                name: "cp".into(),
                namespace: "linkerd".into(),
            },
            chart: Chart {
                name: "repo/cp".into(),
                version: Some("1.16.11".into()),
                archive: "/private/cp.tgz".into(),
            },
            base,
            overrides: Overrides {
                files,
                ..Overrides::default()
            },
            conflicts: Conflicts::Refused,
            schemas: Schemas::Asked,
        }
    }

    #[test]
    fn a_control_plane_reuses_the_releases_values_only_if_it_is_told_to() {
        let upgrade = upgrade(Base::Chart, vec![copied("a.yaml"), copied("b.yaml")]);
        assert_eq!(
            helm().command(&upgrade).join(" "),
            "helm upgrade cp repo/cp -n linkerd --kube-context eu --version 1.16.11 --reset-values \
             -f a.yaml -f b.yaml"
        );
    }

    #[test]
    fn helm_gets_copies_and_the_digest_no_name_that_decides_nothing() {
        let upgrade = upgrade(Base::Chart, vec![copied("a.yaml")]);
        assert_eq!(
            helm().upgrade_args(&upgrade, Spelling::Run).join(" "),
            "upgrade cp /private/cp.tgz -n linkerd --reset-values -f /private/a.yaml"
        );
        assert_eq!(
            helm().essence(&upgrade).replace('\0', " "),
            "upgrade cp CHART -n linkerd --reset-values -f VALUES"
        );
        let known = Upgrade {
            schemas: Schemas::Known,
            ..upgrade.clone()
        };
        assert_eq!(helm().essence(&known), helm().essence(&upgrade));
        let shown = helm().command(&known).join(" ");
        assert!(shown.ends_with(" --disable-openapi-validation"), "{shown}");
    }

    #[test]
    fn forget_names_the_object_of_the_revision_where_helm_keeps_it() {
        let release = upgrade(Base::Release, Vec::new()).release;
        let forget = |driver| Helm { driver, ..helm() }.forget(&release, 2);
        let of = |kind| {
            let labels = "owner=helm,name=cp,version=2";
            let delete = format!("kubectl --context eu -n linkerd delete {kind} -l {labels}");
            Some(delete)
        };
        assert_eq!(forget(Driver::Secret), of("secret"));
        assert_eq!(forget(Driver::ConfigMap), of("configmap"));
        assert_eq!(forget(Driver::Sql), None);
    }

    #[test]
    fn a_command_for_people_works_where_helm_driver_is_not_set() {
        let release = upgrade(Base::Release, Vec::new()).release;
        let words = ["rollback", &release.name, "3", "-n", &release.namespace].map(str::to_owned);
        let back = |driver| Helm { driver, ..helm() }.way_back(&words);
        let rollback = "helm rollback cp 3 -n linkerd --kube-context eu";
        assert_eq!(back(Driver::Secret), rollback);
        let configmap = format!("HELM_DRIVER=configmap {rollback}");
        assert_eq!(back(Driver::ConfigMap), configmap);
    }

    #[test]
    fn upgrade_args_have_no_wait_and_no_atomic() {
        for base in [Base::Release, Base::Chart] {
            let command = helm().command(&upgrade(base, Vec::new())).join(" ");
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
    fn schemas_are_asked_unless_the_api_server_surely_validates_by_itself() {
        for version in ["v1.27.0", "v1.34.5+k3s1", "v2.0.0"] {
            assert_eq!(Schemas::of(version), Schemas::Known, "{version}");
        }
        for version in ["v1.26.15", "v1.16.0", "1.34", ""] {
            assert_eq!(Schemas::of(version), Schemas::Asked, "{version}");
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
