//! Chooses the charts: those that the flags name, or those of the target's repository. Fetches each
//! once.

use std::path::PathBuf;

use mesh_actor::{Ending, Outcome, hinted, refused};
use mesh_records::{Explained, sayable};
use mesh_versions::{Charts as Known, Releases, Repository, Version};

use crate::args::Args;
use crate::inputs::{Charts, Inputs, Named};
use crate::installer::helm::{Chart, Helm};
use crate::unseen::Unseen;

const NAME_BOTH: &str = "name both charts with --chart and --crds-chart";
const BY_FILE: &str =
    "or download both charts elsewhere and name the files with --chart and --crds-chart";

/// A chart before it was fetched.
struct Wanted {
    name: String,
    version: Option<String>,
    /// The run's own archive, if the chart was on this machine.
    archive: Option<PathBuf>,
    way_out: WayOut,
}

/// What to do if helm cannot download a chart.
#[derive(Clone)]
struct WayOut {
    /// Helm does not know the repository, or anything else is wrong.
    unknown: String,
    /// Helm's index of the repository does not have the version.
    stale: String,
}

/// Returns the charts for `target`. A second call fetches nothing again.
pub(crate) async fn charts(
    args: &Args,
    inputs: &Inputs,
    target: &str,
    helm: &Helm,
) -> Outcome<Charts> {
    let fetching = async {
        let (control_plane, crds) = chosen(args, inputs, target, helm).await?;
        Ok(Charts {
            control_plane: fetched(control_plane, "chart-pulled", inputs, helm).await?,
            crds: fetched(crds, "crds-chart-pulled", inputs, helm).await?,
        })
    };
    inputs.charts.get_or_try_init(|| fetching).await.cloned()
}

async fn fetched(wanted: Wanted, room: &str, inputs: &Inputs, helm: &Helm) -> Outcome<Chart> {
    let Wanted {
        name,
        version,
        archive,
        way_out,
    } = wanted;
    let archive = match archive {
        Some(archive) => archive,
        None => {
            let room = inputs.snapshot.room(room)?;
            let pulled = helm.pull(&name, version.as_deref(), &room).await;
            pulled.map_err(|error| way_out.of(error))?
        }
    };
    Ok(Chart {
        name: sayable(&name),
        version,
        archive,
    })
}

async fn chosen(
    args: &Args,
    inputs: &Inputs,
    target: &str,
    helm: &Helm,
) -> Outcome<(Wanted, Wanted)> {
    let control_plane = args.chart.as_ref().zip(inputs.chart.as_ref());
    let crds = args.crds_chart.as_ref().zip(inputs.crds_chart.as_ref());
    if let Some(((name, named), (crds, named_crds))) = control_plane.zip(crds) {
        let control_plane = of_flag(name, args.chart_version.as_ref(), named, helm)?;
        let crds = of_flag(crds, args.crds_chart_version.as_ref(), named_crds, helm)?;
        return Ok((control_plane, crds));
    }
    let version = Version::of_tag(target);
    let releases = Releases::embedded();
    let channel = version.channel();
    match channel.and_then(|channel| releases.repository(channel)) {
        Some(repository) => {
            let known = releases.charts(&version);
            of_repository(args, &version, repository, known, helm).await
        }
        None => {
            let what = format!("no Helm repository is known for {target}");
            Err(refused(what, NAME_BOTH))
        }
    }
}

// The chart versions of a release come from the releases file, or else from helm's index of the
// repository. The CRDs' chart does not name the release.
async fn of_repository(
    args: &Args,
    target: &Version,
    repository: &Repository,
    known: Option<&Known>,
    helm: &Helm,
) -> Outcome<(Wanted, Wanted)> {
    let Repository { name, url, .. } = repository;
    let way_out = WayOut::of_repository(helm, name, url);
    let chart = format!("{name}/{}", repository.control_plane);
    let version = args.chart_version.clone();
    let version = version.or_else(|| known.and_then(|known| known.control_plane.clone()));
    let version = match version {
        Some(version) => Some(version),
        None => {
            let found = helm.search(&chart, target.as_str()).await;
            found.map_err(|error| way_out.clone().of(error))?
        }
    };
    let Some(version) = version else {
        return Err(refused(
            format!("helm's index of the repository {name} has no {chart} for {target}"),
            way_out.stale,
        ));
    };
    let crds = format!("{name}/{}", repository.crds);
    let crds_version = args.crds_chart_version.clone();
    let crds_version = crds_version.or_else(|| known.and_then(|known| known.crds.clone()));
    let Some(crds_version) = crds_version else {
        let what = format!("the version of the chart {crds} for {target} is not known");
        return Err(refused(what, "pass --crds-chart-version VERSION"));
    };
    let of = |name, version| Wanted {
        name,
        version: Some(version),
        archive: None,
        way_out: way_out.clone(),
    };
    Ok((of(chart, version), of(crds, crds_version)))
}

// === impl WayOut ===

impl WayOut {
    /// Returns the ways out for a repository. Helm finds charts only in its own copies of the
    /// repositories' indexes, which may be old.
    fn of_repository(helm: &Helm, name: &str, url: &str) -> Self {
        let add = helm.offline(&["repo", "add", name, url]);
        let update = helm.offline(&["repo", "update", name]);
        Self {
            unknown: format!("add the repository with `{add}`; or {NAME_BOTH}"),
            stale: format!("renew helm's index of the repository with `{update}`; or {NAME_BOTH}"),
        }
    }

    /// Returns the ways out for what `--chart` names. A name that is no path here is a reference for
    /// helm, so a mistyped path is one too.
    fn of_reference(helm: &Helm, name: &str) -> Self {
        let name = sayable(name);
        if name.contains("://") {
            let check = "check the address and the version of the chart".to_owned();
            return Self {
                unknown: check.clone(),
                stale: check,
            };
        }
        let repository = name
            .split_once('/')
            .map_or(&*name, |(repository, _)| repository);
        let add = helm.offline(&["repo", "add", repository, "URL"]);
        let update = helm.offline(&["repo", "update", repository]);
        Self {
            unknown: format!(
                "there is no file or folder `{name}`, so helm looks for a repository \
                 `{repository}`: correct the path, or add the repository with `{add}`"
            ),
            stale: format!(
                "renew helm's index of the repository with `{update}`, or check the version of the \
                 chart"
            ),
        }
    }

    fn of(self, error: anyhow::Error) -> Ending {
        let Self { unknown, stale } = self;
        let is_unseen = Unseen::causes(&error);
        let error = match error.downcast::<Explained>() {
            Ok(known) if is_unseen => {
                let hint = format!("{}; {BY_FILE}", known.hint());
                return known.with_hint(hint).into();
            }
            Ok(known) => return known.into(),
            Err(error) => error,
        };
        // Helm says it so for an index without the chart or its version.
        let is_stale = format!("{error:#}").contains("helm repo update");
        hinted(error, if is_stale { stale } else { unknown })
    }
}

fn of_flag(
    name: &str,
    version: Option<&String>,
    named: &Named,
    helm: &Helm,
) -> Result<Wanted, Explained> {
    let archive = match named {
        Named::Archive(archive) => Some(archive.clone()),
        Named::Elsewhere => None,
        Named::Unusable { what, hint } => return Err(Explained::new(what, hint)),
    };
    Ok(Wanted {
        way_out: WayOut::of_reference(helm, name),
        name: name.to_owned(),
        version: version.cloned(),
        archive,
    })
}
