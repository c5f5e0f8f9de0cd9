//! Chooses the charts: those that the flags name, or those of the target's repository.

use mesh_actor::{Outcome, hinted, refused};
use mesh_versions::{Charts as Known, Releases, Repository, Version};

use crate::args::Args;
use crate::installer::helm::{Chart, Helm};

/// The charts of an upgrade.
#[derive(Debug)]
pub(crate) struct Charts {
    pub(crate) control_plane: Chart,
    pub(crate) crds: Chart,
    /// What to do if helm cannot render the charts.
    pub(crate) hint: String,
}

const NAME_BOTH: &str = "name both charts with --chart and --crds-chart";

/// Returns the charts for `target`.
pub(crate) async fn charts(args: &Args, target: &str, helm: &Helm) -> Outcome<Charts> {
    if let (Some(chart), Some(crds)) = (&args.chart, &args.crds_chart) {
        return Ok(Charts {
            control_plane: Chart {
                chart: chart.clone(),
                version: args.chart_version.clone(),
            },
            crds: Chart {
                chart: crds.clone(),
                version: args.crds_chart_version.clone(),
            },
            hint: "pass this cluster's values with -f, and charts that helm can find".to_owned(),
        });
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
) -> Outcome<Charts> {
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
    let of = |chart, version| Chart {
        chart,
        version: Some(version),
    };
    Ok(Charts {
        control_plane: of(chart, version),
        crds: of(crds, crds_version),
        hint,
    })
}
