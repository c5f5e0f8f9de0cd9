//! The rules about the target and the step to it.

use std::cmp::Ordering;

use mesh_records::{ControlPlane, InstalledBy, Rule};
use mesh_versions::{Fit, Known, KubernetesVersion, Minor, Move, Releases, Version};
use serde_json::Value;

use super::held;
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
        let message =
            format!("{target} is a candidate, a preview or a custom build, not a release");
        let hint = "take a release, or be sure that you want this one";
        remarks.push(Remark::new(Rule::TargetPrerelease, message).hint(hint));
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
                format!("{version} is newer than the last release in the releases file, {known}");
            let hint =
                "pass a newer file with --releases FILE, or accept it with --ack newer-than-known";
            remarks.push(Remark::new(Rule::NewerThanKnown, message).hint(hint));
        }
        if releases.is_not_recommended(version) {
            let message = format!("Linkerd does not recommend the release {version}");
            let hint = "take another release as the target";
            remarks.push(Remark::new(Rule::EdgeNotRecommended, message).hint(hint));
        }
    }
    if let Some(injects) = plane
        .injects
        .as_deref()
        .filter(|it| !at.same_release(&Version::of_tag(it), &at.running))
    {
        let message = format!(
            "linkerd-config pins the proxy: new pods get {injects}, but the control plane is {}",
            at.running
        );
        let hint = "remove `proxy.image.version` from the values of the control plane";
        remarks.push(Remark::new(Rule::VersionPinned, message).hint(hint));
    }
    remarks
}

fn unknown(target: &Version, meant: Option<&Version>) -> Remark {
    let remark = Remark::new(
        Rule::TargetUnknown,
        format!("the releases file has no release {target}"),
    );
    match meant {
        Some(meant) => remark.hint(format!("did you mean {meant}?")),
        None => remark.hint("pass a newer releases file: --releases FILE"),
    }
}

fn way(plane: &ControlPlane, target: &Version, at: &Standpoint<'_>) -> Vec<Remark> {
    let releases = at.releases();
    let mut remarks: Vec<Remark> = way_from(&at.running, target, releases)
        .into_iter()
        .collect();
    // During an unfinished upgrade the configuration already has the new version, while some
    // components run the old one.
    for part in held::not_held(plane, at) {
        let way = way_from(&Version::of_tag(part.version), target, releases);
        if remarks.is_empty() {
            remarks.extend(way);
        }
    }
    remarks
}

fn way_from(from: &Version, target: &Version, releases: &Releases) -> Option<Remark> {
    match releases.movement(from, target) {
        Move::Stay | Move::Patch | Move::Aside | Move::Up { minors: 0 | 1 } => None,
        Move::Up { minors } => Some(skips(from, target, minors, releases)),
        Move::Down => {
            let message = format!("{target} is older than the running {from}");
            let hint =
                "go back with a rollback by helm, or with the linkerd CLI of the older release";
            Some(Remark::new(Rule::Downgrade, message).hint(hint))
        }
        Move::Unknown => {
            let message =
                format!("cannot tell how many minor versions lie between {from} and {target}");
            let hint = "pass a releases file that has an alias for this version: --releases FILE";
            Some(Remark::cannot_tell(Rule::HopSkipsMinor, message).hint(hint))
        }
    }
}

fn skips(from: &Version, target: &Version, minors: u32, releases: &Releases) -> Remark {
    let line = |version| {
        let of = releases.minor_of(version);
        of.map(|of| format!(" ({})", of.minor)).unwrap_or_default()
    };
    let message = format!(
        "{target}{} is {minors} minor versions ahead of {from}{}; upgrade one minor version at a \
         time",
        line(target),
        line(from)
    );
    let remark = Remark::new(Rule::HopSkipsMinor, message).page(UPGRADE_PAGE);
    let path = releases.path(from, target);
    let next = path.as_deref().and_then(<[_]>::first);
    match next.map(|hop| (hop.to, hop.release.as_ref())) {
        Some((_, Some(release))) => remark.hint(format!("upgrade to {release} first")),
        Some((to, None)) => remark.hint(format!("upgrade to a release of {to} first")),
        None => {
            remark.hint("pass a releases file that has the releases in between: --releases FILE")
        }
    }
}

fn kubernetes(plane: &ControlPlane, target: &Version, releases: &Releases) -> Option<Remark> {
    let rule = Rule::KubernetesTooOld;
    let server = plane.kubernetes.as_deref().and_then(KubernetesVersion::of);
    let minor = releases.minor_of(target)?.minor;
    let (Some(server), Some(line)) = (server, releases.line(minor)) else {
        let message =
            format!("cannot tell whether the cluster's Kubernetes is new enough for {target}");
        let hint = "give a dump the server's version too (kubectl version -o json), or pass a releases \
                    file that has the target (--releases FILE)";
        return Some(Remark::cannot_tell(rule, message).hint(hint));
    };
    let support = line.kubernetes();
    match support.fit(&server) {
        Fit::Fits => None,
        Fit::TooOld => {
            let message = format!(
                "the cluster runs Kubernetes {server}; Linkerd {minor} needs {} or later",
                support.min
            );
            Some(Remark::new(rule, message).hint("upgrade Kubernetes first"))
        }
        Fit::Untested => {
            let message = format!(
                "the cluster runs Kubernetes {server}; Linkerd {minor} was tested up to {} only",
                support.tested
            );
            let hint = "try it on a test cluster of this Kubernetes, or take a later target";
            Some(Remark::new(Rule::KubernetesUntested, message).hint(hint))
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
    let message =
        "since 2.12 Linkerd has two Helm charts, and `helm upgrade` cannot split one release";
    let split = at
        .paste
        .split_release(plane.release.as_ref(), &plane.namespace);
    let hint = format!("move its objects to two releases: {split}");
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
    let within = at.releases().canonical(target).as_edge();
    let within = within.and_then(|edge| Version::of_tag("edge-25.9.4").order(&edge));
    let within = within.is_some_and(Ordering::is_le);
    let concerned = within || at.releases().minor_of(target)?.minor >= WITHOUT;
    if !concerned {
        return None;
    }
    let rule = Rule::GatewayApiUnprotected;
    let facts = plane
        .facts
        .get("gateway_api_crds")
        .and_then(Value::as_array);
    let Some(definitions) = facts else {
        if plane.installed_by != InstalledBy::Helm {
            return None;
        }
        let message = "cannot tell whether Helm owns the Gateway API CRDs";
        let hint = "allow mesh-survey to list customresourcedefinitions.apiextensions.k8s.io";
        let remark = Remark::cannot_tell(rule, message).hint(hint);
        return Some(remark.page(GATEWAY_PAGE));
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
        "Helm would delete these Gateway API CRDs, and every route with them: {}",
        names.join(", ")
    );
    let words = [
        &["annotate", "crd"],
        &names[..],
        &["helm.sh/resource-policy=keep"],
    ];
    let hint = at.paste.kubectl(&words.concat());
    Some(Remark::new(rule, message).hint(hint).page(GATEWAY_PAGE))
}

fn later_patch(target: &Version, releases: &Releases) -> Option<Remark> {
    let target = releases.canonical(target);
    let latest = releases.latest_patch(releases.minor_of(target)?.minor, target.channel()?)?;
    let later = target.order(latest).is_some_and(Ordering::is_lt);
    let message = format!("{latest} is a newer patch release than {target}");
    let hint = format!("take it as the target: --to {latest}");
    later.then(|| Remark::new(Rule::TargetNotLatestPatch, message).hint(hint))
}
