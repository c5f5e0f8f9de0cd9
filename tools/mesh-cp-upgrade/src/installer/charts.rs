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

/// A chart before it was fetched.
struct Wanted {
    name: String,
    version: Option<String>,
    /// The run's own archive, if the chart was on this machine.
    archive: Option<PathBuf>,
}

/// Returns the charts for `target`. A second call fetches nothing again.
pub(crate) async fn charts(
    args: &Args,
    inputs: &Inputs,
    target: &str,
    helm: &Helm,
) -> Outcome<Charts> {
    let fetching = async {
        let (control_plane, crds, hint) = chosen(args, inputs, target, helm).await?;
        Ok(Charts {
            control_plane: fetched(control_plane, "chart-pulled", inputs, helm, &hint).await?,
            crds: fetched(crds, "crds-chart-pulled", inputs, helm, &hint).await?,
            hint,
        })
    };
    inputs.charts.get_or_try_init(|| fetching).await.cloned()
}

async fn fetched(
    wanted: Wanted,
    room: &str,
    inputs: &Inputs,
    helm: &Helm,
    hint: &str,
) -> Outcome<Chart> {
    let Wanted {
        name,
        version,
        archive,
    } = wanted;
    let archive = match archive {
        Some(archive) => archive,
        None => {
            let room = inputs.snapshot.room(room)?;
            let pulled = helm.pull(&name, version.as_deref(), &room).await;
            pulled.map_err(|error| hinted(error, hint))?
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
) -> Outcome<(Wanted, Wanted, String)> {
    if let (Some(chart), Some(crds)) = (&inputs.chart, &inputs.crds_chart) {
        let hint = "pass this cluster's values with -f, and charts that helm can find";
        let control_plane = of_flag(args.chart.as_ref(), args.chart_version.as_ref(), chart)?;
        let version = args.crds_chart_version.as_ref();
        let crds = of_flag(args.crds_chart.as_ref(), version, crds)?;
        return Ok((control_plane, crds, hint.to_owned()));
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
) -> Outcome<(Wanted, Wanted, String)> {
    let Repository { name, url, .. } = repository;
    let hint = format!(
        "pass this cluster's values with -f, and add the repository: helm repo add {name} {url}; \
         or {NAME_BOTH}"
    );
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
            format!("the Helm repository has no {chart} for {target}"),
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
    };
    Ok((of(chart, version), of(crds, crds_version), hint))
}

fn of_flag(
    name: Option<&String>,
    version: Option<&String>,
    named: &Named,
) -> Result<Wanted, Explained> {
    let archive = match named {
        Named::Archive(archive) => Some(archive.clone()),
        Named::Elsewhere => None,
        Named::Unusable { what, hint } => return Err(Explained::new(what, hint)),
    };
    Ok(Wanted {
        name: name.cloned().unwrap_or_default(),
        version: version.cloned(),
        archive,
    })
}
