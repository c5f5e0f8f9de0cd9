//! Chooses the charts: those that the flags name, or those of the target's repository. Fetches each
//! once.

use std::path::PathBuf;

use mesh_actor::{Outcome, hinted, refused};
use mesh_records::{Explained, sayable};
use mesh_versions::{Charts as Known, Releases, Repository, Version};

use crate::args::Args;
use crate::inputs::{Charts, Inputs, Named};
use crate::installer::helm::{Chart, Helm};

const NAME_BOTH: &str = "name both charts with --chart and --crds-chart";
const VALUES: &str = "pass all values of this cluster's control plane with -f";

/// A chart before it was fetched.
struct Wanted {
    name: String,
    version: Option<String>,
    /// The run's own archive, if the chart was on this machine.
    archive: Option<PathBuf>,
    /// What to do if helm cannot download it.
    way_out: String,
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
            hint: VALUES.to_owned(),
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
            pulled.map_err(|error| hinted(error, way_out))?
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
    if let (Some(chart), Some(crds)) = (&inputs.chart, &inputs.crds_chart) {
        let version = args.chart_version.as_ref();
        let control_plane = of_flag(args.chart.as_ref(), version, chart, helm)?;
        let version = args.crds_chart_version.as_ref();
        let crds = of_flag(args.crds_chart.as_ref(), version, crds, helm)?;
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
    let hint = format!("{}; or {NAME_BOTH}", renewed(helm, name, url));
    let chart = format!("{name}/{}", repository.control_plane);
    let version = args.chart_version.clone();
    let version = version.or_else(|| known.and_then(|known| known.control_plane.clone()));
    let version = match version {
        Some(version) => Some(version),
        None => {
            let found = helm.search(&chart, target.as_str()).await;
            found.map_err(|error| hinted(error, hint.clone()))?
        }
    };
    let Some(version) = version else {
        return Err(refused(
            format!("helm's index of the repository {name} has no {chart} for {target}"),
            hint,
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
        way_out: hint.clone(),
    };
    Ok((of(chart, version), of(crds, crds_version)))
}

// Helm finds charts only in its own copies of the repositories' indexes, which may be old.
fn renewed(helm: &Helm, name: &str, url: &str) -> String {
    format!(
        "add the repository with `{}`; if helm has it, renew its index with `{}`",
        helm.offline(&["repo", "add", name, url]),
        helm.offline(&["repo", "update", name])
    )
}

// A name that is no path here is a reference for helm, so a mistyped path is one too.
fn way_out_of(name: &str, helm: &Helm) -> String {
    let name = sayable(name);
    if name.contains("://") {
        return "check the address and the version of the chart".to_owned();
    }
    let repository = name.split('/').next().unwrap_or_default();
    format!(
        "there is no file or folder `{name}`, so helm looks for a repository `{repository}`: correct \
         the path; or {}",
        renewed(helm, repository, "URL")
    )
}

fn of_flag(
    name: Option<&String>,
    version: Option<&String>,
    named: &Named,
    helm: &Helm,
) -> Result<Wanted, Explained> {
    let archive = match named {
        Named::Archive(archive) => Some(archive.clone()),
        Named::Elsewhere => None,
        Named::Unusable { what, hint } => return Err(Explained::new(what, hint)),
    };
    let name = name.cloned().unwrap_or_default();
    Ok(Wanted {
        way_out: way_out_of(&name, helm),
        name,
        version: version.cloned(),
        archive,
    })
}
