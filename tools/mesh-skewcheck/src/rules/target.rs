//! The rules about the target and the step to it.

use std::cmp::Ordering;

use mesh_records::{ControlPlane, InstalledBy, Rule};
use mesh_versions::{Fit, Known, KubernetesVersion, Minor, Move, Releases, Version};
use serde_json::Value;

use crate::question::Standpoint;
use crate::remark::Remark;

const UPGRADE_PAGE: &str = "https://linkerd.io/2/tasks/upgrade/";
const GATEWAY_PAGE: &str = "https://linkerd.io/2/tasks/gateway-api-ownership-migration/";
const SPLIT_PAGE: &str = "https://linkerd.io/2.12/tasks/upgrade/";

/// Judges the target and the step to it; returns nothing for a question without a target.
pub(crate) fn remarks(plane: &ControlPlane, at: &Standpoint<'_>) -> Vec<Remark> {
    let Some(target) = &at.target else {
        return Vec::new();
    };
    let releases = at.releases();
    if let Known::Unknown(meant) = releases.known(target) {
        return vec![unknown(target, meant.as_ref())];
    }
    let mut remarks = way(plane, target, at);
    remarks.extend(kubernetes(plane, target, releases));
    remarks.extend(chart_split(plane, target, at));
    remarks.extend(gateway_api(plane, target, at));
    remarks.extend(later_patch(target, releases));
    if target.is_prerelease() {
        let message = format!("{target} is no release of Linkerd's: a candidate, preview or build");
        remarks.push(Remark::new(Rule::TargetPrerelease, message));
    }
    remarks
}

/// Judges the running and the target version, for every question.
pub(crate) fn versions(plane: &ControlPlane, at: &Standpoint<'_>) -> Vec<Remark> {
    let releases = at.releases();
    let mut remarks = Vec::new();
    let mut versions = vec![&at.running];
    versions.extend(at.target.as_ref().filter(|target| **target != at.running));
    for version in versions {
        if releases.known(version) == Known::Newer {
            let known = releases.known_until();
            let message =
                format!("{version} is newer than the releases file, which ends at {known}");
            let hint = "give a newer file with --releases, or --ack newer-than-known";
            remarks.push(Remark::new(Rule::NewerThanKnown, message).hint(hint));
        }
        if releases.is_not_recommended(version) {
            let message = format!("upstream does not recommend {version}");
            remarks.push(Remark::new(Rule::EdgeNotRecommended, message));
        }
    }
    if let Some(injects) = plane
        .injects
        .as_deref()
        .filter(|it| *it != at.running.as_str())
    {
        let message = format!(
            "the configuration pins the proxy: new pods get {injects} under a control plane {}",
            at.running
        );
        let hint = "take `proxy.image.version` out of the chart's values";
        remarks.push(Remark::new(Rule::VersionPinned, message).hint(hint));
    }
    remarks
}

fn unknown(target: &Version, meant: Option<&Version>) -> Remark {
    let remark = Remark::new(
        Rule::TargetUnknown,
        format!("the releases file knows no {target}"),
    );
    match meant {
        Some(meant) => remark.hint(format!("did you mean {meant}?")),
        None => remark.hint("give a newer file with --releases"),
    }
}

fn way(plane: &ControlPlane, target: &Version, at: &Standpoint<'_>) -> Vec<Remark> {
    let releases = at.releases();
    let mut remarks: Vec<Remark> = way_from(&at.running, target, releases)
        .into_iter()
        .collect();
    // During an unfinished upgrade the configuration already has the new version, while some
    // components run the old one.
    let components = plane
        .components
        .iter()
        .filter_map(|component| component.version.as_deref());
    for version in components.map(Version::of_tag) {
        let skips = way_from(&version, target, releases)
            .filter(|remark| remark.rule == Rule::HopSkipsMinor);
        if remarks.is_empty() {
            remarks.extend(skips);
        }
    }
    remarks
}

fn way_from(from: &Version, target: &Version, releases: &Releases) -> Option<Remark> {
    match releases.movement(from, target) {
        Move::Stay | Move::Patch | Move::Aside | Move::Up { minors: 0 | 1 } => None,
        Move::Up { minors } => Some(skips(from, target, minors, releases)),
        Move::Down => {
            let message = format!("{target} is older than {from}, which runs");
            let hint = "the way back is `mesh-cp-upgrade --rollback`";
            Some(Remark::new(Rule::Downgrade, message).hint(hint))
        }
        Move::Unknown => {
            let message = format!("the way from {from} to {target} is not known");
            let hint = "give a releases file with an alias for it with --releases";
            Some(Remark::cannot_tell(Rule::HopSkipsMinor, message).hint(hint))
        }
    }
}

fn skips(from: &Version, target: &Version, minors: u32, releases: &Releases) -> Remark {
    let message =
        format!("{target} is {minors} 2.x ahead of {from}; an upgrade goes one 2.x at a time");
    let remark = Remark::new(Rule::HopSkipsMinor, message).page(UPGRADE_PAGE);
    let path = releases.path(from, target);
    let next = path.as_deref().and_then(<[_]>::first);
    match next.map(|hop| (hop.to, hop.release.as_ref())) {
        Some((_, Some(release))) => remark.hint(format!("go to {release} first")),
        Some((to, None)) => remark.hint(format!("go to a release of {to} first")),
        None => remark,
    }
}

fn kubernetes(plane: &ControlPlane, target: &Version, releases: &Releases) -> Option<Remark> {
    let rule = Rule::KubernetesTooOld;
    let server = plane.kubernetes.as_deref().and_then(KubernetesVersion::of);
    let minor = releases.minor_of(target)?.minor;
    let (Some(server), Some(line)) = (server, releases.line(minor)) else {
        let message = format!("whether this Kubernetes is new enough for {target} is not known");
        return Some(Remark::cannot_tell(rule, message));
    };
    let support = line.kubernetes();
    match support.fit(&server) {
        Fit::Fits => None,
        Fit::TooOld => {
            let message = format!(
                "Kubernetes {server} is older than {}, which {minor} needs",
                support.min
            );
            Some(Remark::new(rule, message).hint("upgrade the cluster first"))
        }
        Fit::Untested => {
            let message = format!(
                "Kubernetes {server} is newer than {}, the last that {minor} was tested with",
                support.tested
            );
            Some(Remark::new(Rule::KubernetesUntested, message))
        }
    }
}

/// Up to 2.11 Linkerd had one Helm chart, since 2.12 it has two. Helm cannot upgrade from one to
/// two.
fn chart_split(plane: &ControlPlane, target: &Version, at: &Standpoint<'_>) -> Option<Remark> {
    const LAST_WHOLE: Minor = Minor::new(11);
    let before = at.releases().minor_of(&at.running)?.minor;
    let after = at.releases().minor_of(target)?.minor;
    if plane.installed_by != InstalledBy::Helm || before > LAST_WHOLE || after <= LAST_WHOLE {
        return None;
    }
    let message = "since 2.12 the Helm chart is two, and `helm upgrade` cannot split a release";
    let release = plane
        .release
        .as_ref()
        .map_or("linkerd2", |release| release.name.as_str());
    let hint = format!(
        "give the resources of release `{release}` to the releases `linkerd-crds` and \
         `linkerd-control-plane` as the page says, then install the two charts"
    );
    Some(
        Remark::new(Rule::HelmChartSplit, message)
            .hint(hint)
            .page(SPLIT_PAGE),
    )
}

/// Since edge-25.9.4 the CRDs' chart no longer contains the Gateway API's definitions. Helm then
/// deletes those that it owns, with all routes, unless an annotation tells it to keep them.
fn gateway_api(plane: &ControlPlane, target: &Version, at: &Standpoint<'_>) -> Option<Remark> {
    const WITHOUT: Minor = Minor::new(19);
    let within = Version::of_tag("edge-25.9.4")
        .order(target)
        .is_some_and(Ordering::is_le);
    let concerned = within || at.releases().minor_of(target)?.minor >= WITHOUT;
    if plane.installed_by != InstalledBy::Helm || !concerned {
        return None;
    }
    let rule = Rule::GatewayApiUnprotected;
    let facts = plane
        .facts
        .get("gateway_api_crds")
        .and_then(Value::as_array);
    let Some(definitions) = facts else {
        let message = "whether Helm owns the Gateway API's definitions is not known";
        return Some(Remark::cannot_tell(rule, message).page(GATEWAY_PAGE));
    };
    let endangered = |it: &&Value| it.get("release").is_some() && it["keep"] != Value::Bool(true);
    let names: Vec<&str> = definitions
        .iter()
        .filter(endangered)
        .filter_map(|it| it["name"].as_str())
        .collect();
    if names.is_empty() {
        return None;
    }
    let message = format!(
        "Helm would delete {} and every route with it",
        names.join(", ")
    );
    let hint = format!(
        "kubectl annotate crd {} helm.sh/resource-policy=keep",
        names.join(" ")
    );
    Some(Remark::new(rule, message).hint(hint).page(GATEWAY_PAGE))
}

fn later_patch(target: &Version, releases: &Releases) -> Option<Remark> {
    let target = releases.canonical(target);
    let latest = releases.latest_patch(releases.minor_of(target)?.minor, target.channel()?)?;
    let later = target.order(latest).is_some_and(Ordering::is_lt);
    let message = format!("{latest} is a later patch than {target}");
    later.then(|| Remark::new(Rule::TargetNotLatestPatch, message))
}
