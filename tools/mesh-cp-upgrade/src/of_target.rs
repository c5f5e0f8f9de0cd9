//! Checks that the charts are those of the target. Pure.

use mesh_actor::{Outcome, refused};
use mesh_cluster::control_plane::Config;
use mesh_cluster::workload::proxy;
use mesh_records::Explained;
use mesh_versions::{COMPONENTS, Releases, Version};

use crate::overrides::Overrides;
use crate::plan::Parts;
use crate::render::Rendered;
use crate::values::places;

/// Fails if a chart is of another release than `target`, or renders another.
pub(crate) fn check(
    parts: &Parts,
    config: &Config,
    values: &Overrides,
    target: &str,
) -> Outcome<()> {
    let Parts {
        crds,
        control_plane,
        hint,
    } = parts;
    let (crds, control_plane) = (&crds.rendered, &control_plane.rendered);
    if let Some(chart) = &control_plane.app_version
        && chart != target
    {
        let what = format!(
            "{} is the chart of {chart}, not of {target}",
            control_plane.chart
        );
        return Err(refused(what, *hint));
    }
    let renders = config.version().unwrap_or("no version");
    if renders != target {
        let what = format!("{} renders {renders}, not {target}", control_plane.chart);
        return Err(match pinned(values, control_plane, renders) {
            None => refused(what, *hint),
            Some(places) => refused(
                format!("{what}, because the values set that version: {places}"),
                REMOVE,
            ),
        });
    }
    components_are_of(control_plane, values, target, hint)?;
    if crds.crds().is_empty() {
        let what = format!("{} renders no CRD", crds.chart);
        return Err(refused(
            what,
            "check the charts: with helm, pass --chart and --crds-chart together",
        ));
    }
    Ok(crds_are_of(
        crds,
        &control_plane.chart,
        &Version::of_tag(target),
    )?)
}

fn components_are_of(
    control_plane: &Rendered,
    values: &Overrides,
    target: &str,
    hint: &'static str,
) -> Outcome<()> {
    let components = control_plane.components()?;
    if let Some(name) = COMPONENTS
        .into_iter()
        .find(|name| components.iter().all(|it| it.name != *name))
    {
        let what = format!(
            "{} renders no Deployment {name}, which every control plane has",
            control_plane.chart
        );
        return Err(refused(what, hint));
    }
    for component in components {
        if let Some(image) = component.strangers(target).first() {
            let what = format!(
                "{} would run {image}, which is not {target}",
                component.name
            );
            let places = proxy::image_tag(image).and_then(|tag| pinned(values, control_plane, tag));
            return Err(match places {
                None => refused(what, "remove the pinned version from the values"),
                Some(places) => refused(format!("{what}: the values pin it with {places}"), REMOVE),
            });
        }
    }
    Ok(())
}

const REMOVE: &str = "remove that value: the chart sets its own version";

fn pinned(values: &Overrides, rendered: &Rendered, version: &str) -> Option<String> {
    let places = places(values, &rendered.given, version);
    (!places.is_empty()).then(|| places.join(", "))
}

// The CRDs' chart names no release. The releases file knows the chart's version for some releases;
// where both charts are numbered as the release itself, as since 2.15, they must agree.
fn crds_are_of(crds: &Rendered, control_plane: &str, target: &Version) -> Result<(), Explained> {
    let releases = Releases::embedded();
    let wrong = |of: &str| {
        let what = format!(
            "{} is not the chart of the CRDs of {}: {of}",
            crds.chart,
            target.as_str()
        );
        let hint = "name the target's own chart with --crds-chart and --crds-chart-version";
        Err(Explained::new(what, hint))
    };
    if let Some(named) = &crds.app_version {
        return match named == target.as_str() {
            true => Ok(()),
            false => wrong(&format!("it is of {named}")),
        };
    }
    let is = number(&crds.chart);
    let known = releases.charts(target).and_then(|it| it.crds.as_deref());
    if let Some(known) = known {
        return match is_version(is, known) {
            true => Ok(()),
            false => wrong(&format!("that has the version {known}")),
        };
    }
    let numbered = number(control_plane);
    if is_number_of(numbered, target) && is != numbered {
        return wrong(&format!("that has the version {numbered}"));
    }
    let minor = |version: &Version| releases.minor_of(version).map(|of| of.minor);
    let of: Vec<_> = releases
        .all_charts()
        .filter(|it| {
            it.crds
                .as_deref()
                .is_some_and(|known| is_version(is, known))
        })
        .collect();
    match of.first() {
        Some(other) if of.iter().all(|it| minor(&it.release) != minor(target)) => {
            wrong(&format!("it is of {}", other.release.as_str()))
        }
        Some(_) | None => Ok(()),
    }
}

// The version in a chart's name and version, joined by a dash.
fn number(chart: &str) -> &str {
    let starts = chart.match_indices('-').map(|(at, _)| &chart[at + 1..]);
    let mut numbers = starts.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    numbers.next().unwrap_or(chart)
}

// A mirror may add a suffix of its own.
fn is_version(is: &str, known: &str) -> bool {
    let rest = is.strip_prefix(known);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', '-']))
}

// Charts of edge releases have the year in full.
fn is_number_of(chart: &str, target: &Version) -> bool {
    let tag = target.as_str();
    let release = tag.split_once('-').map_or(tag, |(_, number)| number);
    chart == release || chart == format!("20{release}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_chart_of_the_crds_of_another_release_is_found_out() {
        // the CRDs' chart, what it names, the control plane's chart, the target, what is said
        let table = [
            ("linkerd-crds-1.8.0", None, "1.16.11", "stable-2.14.10", ""),
            (
                "linkerd-crds-1.8.0-corp.1",
                None,
                "1.16.11",
                "stable-2.14.10",
                "",
            ),
            (
                "linkerd-crds-1.6.1",
                None,
                "1.16.11",
                "stable-2.14.10",
                "1.8.0",
            ),
            (
                "linkerd-crds-1.80.0",
                None,
                "1.16.11",
                "stable-2.14.10",
                "1.8.0",
            ),
            (
                "linkerd-crds-1.6.1",
                None,
                "1.16.7",
                "stable-2.14.6",
                "stable-2.13.7",
            ),
            ("linkerd-crds-1.8.0", None, "1.16.7", "stable-2.14.6", ""),
            ("linkerd-crds-1.7.9", None, "1.16.7", "stable-2.14.6", ""),
            ("linkerd-crds-2024.8.2", None, "2024.8.2", "edge-24.8.2", ""),
            (
                "linkerd-crds-2024.8.1",
                None,
                "2024.8.2",
                "edge-24.8.2",
                "2024.8.2",
            ),
            (
                "e-crds-2.18.1",
                None,
                "2.18.2",
                "enterprise-2.18.2",
                "2.18.2",
            ),
            ("my-crds-7", Some("edge-24.8.2"), "1", "edge-24.8.2", ""),
            (
                "my-crds-7",
                Some("edge-24.8.1"),
                "1",
                "edge-24.8.2",
                "edge-24.8.1",
            ),
        ];
        for (chart, named, control_plane, target, part) in table {
            let crds = Rendered {
                chart: chart.to_owned(),
                app_version: named.map(str::to_owned),
                manifests: Vec::new(),
                hooks: Vec::new(),
                fixed: BTreeMap::new(),
                merge: crate::render::Merge::default(),
                given: crate::values::Given::default(),
            };
            let control_plane = format!("linkerd-control-plane-{control_plane}");
            let said = crds_are_of(&crds, &control_plane, &Version::of_tag(target));
            let said = said.err().map(|error| error.to_string());
            assert_eq!(said.is_none(), part.is_empty(), "{chart}: {said:?}");
            assert!(said.unwrap_or_default().contains(part), "{chart}");
        }
    }
}
