//! Which charts: those that were named, or those of the target's own repository.

use mesh_versions::{Releases, Version};

use crate::args::Args;
use crate::ending::{Outcome, refused};
use crate::helm::{Chart, Helm};

/// The charts of the control plane and of the definitions.
pub(crate) async fn charts(args: &Args, target: &str, helm: &Helm) -> Outcome<(Chart, Chart)> {
    if let (Some(chart), Some(crds)) = (&args.chart, &args.crds_chart) {
        let chart = Chart {
            chart: chart.clone(),
            version: args.chart_version.clone(),
        };
        let crds = Chart {
            chart: crds.clone(),
            version: args.crds_chart_version.clone(),
        };
        return Ok((chart, crds));
    }
    let hint = "name both charts: --chart, --crds-chart";
    let releases = Releases::embedded();
    let version = Version::of_tag(target);
    let repository = version
        .channel()
        .and_then(|channel| releases.repository(channel));
    let Some(repository) = repository else {
        return Err(refused(
            format!("no repository is known for {target}"),
            hint,
        ));
    };
    let known = releases.charts(&version);
    let named = |chart: &str| format!("{}/{chart}", repository.name);
    let (chart, crds) = (named(&repository.control_plane), named(&repository.crds));
    let add = format!(
        "helm repo add {} {}; or {hint}",
        repository.name, repository.url
    );
    let of_chart = args.chart_version.clone();
    let of_chart = of_chart.or_else(|| known.and_then(|known| known.control_plane.clone()));
    let of_chart = match of_chart {
        Some(version) => Some(version),
        None => helm
            .search(&chart, target)
            .await
            .map_err(|error| refused(format!("{error:#}"), add.clone()))?,
    };
    let of_crds = args.crds_chart_version.clone();
    let of_crds = of_crds.or_else(|| known.and_then(|known| known.crds.clone()));
    match (of_chart, of_crds) {
        (Some(version), Some(of_crds)) => Ok((
            Chart {
                chart,
                version: Some(version),
            },
            Chart {
                chart: crds,
                version: Some(of_crds),
            },
        )),
        (None, _) => Err(refused(format!("{chart} has no chart of {target}"), add)),
        (Some(_), None) => Err(refused(
            format!("it is not known which version of {crds} belongs to {target}"),
            "say --crds-chart-version",
        )),
    }
}
