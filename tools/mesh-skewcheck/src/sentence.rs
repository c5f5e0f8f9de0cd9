//! One sentence for a finding about workloads, and the way out.

use mesh_records::{Ask, Decided, Rule};
use mesh_versions::Skew;

use crate::question::Standpoint;
use crate::tally::Group;

pub(crate) const ROLL: &str = "mesh-survey | mesh-skewcheck --ask roll | mesh-roll";

/// What a group of workloads has in common, in words.
pub(crate) fn sentence(
    rule: Rule,
    decided: Decided,
    group: &Group,
    at: &Standpoint<'_>,
) -> (String, Option<String>) {
    let base = at.base();
    let (text, hint) = match decided {
        Decided::Yes => said(rule, &base.to_string(), at),
        Decided::CannotTell => (
            "may trust other anchors than the current bundle".to_owned(),
            None,
        ),
    };
    let noun = if group.count == 1 {
        "workload"
    } else {
        "workloads"
    };
    let message = format!("{} {noun}: {text}{}", group.count, versions(group));
    (message, hint.map(str::to_owned))
}

fn versions(group: &Group) -> String {
    let named: Vec<&str> = group
        .versions
        .iter()
        .map(String::as_str)
        .filter(|text| !text.is_empty())
        .collect();
    if named.is_empty() {
        return String::new();
    }
    let more = if group.versions.is_short() {
        ", …"
    } else {
        ""
    };
    format!(" ({}{more})", named.join(", "))
}

fn said(rule: Rule, base: &str, at: &Standpoint<'_>) -> (String, Option<&'static str>) {
    let roll = Some(ROLL);
    match rule {
        Rule::ProxyTooOld => (
            format!("proxies more than one 2.x behind {base}"),
            roll.filter(|_| roll_helps(at)),
        ),
        Rule::ProxyAhead => (format!("proxies ahead of {base}"), roll),
        Rule::ProxyBehind if at.ask() == Ask::Done => (format!("proxies not at {base}"), roll),
        Rule::ProxyBehind => (
            format!("proxies behind {base}, within what is allowed"),
            roll.filter(|_| at.ask() != Ask::Upgrade),
        ),
        Rule::ProxyUnknown if at.releases().minor_of(at.base()).is_none() => (
            format!("cannot be compared with {base}, whose 2.x is not known"),
            Some("give a releases file with an alias for it with --releases"),
        ),
        Rule::ProxyUnknown => (
            "proxies whose version no image, annotation or alias tells for sure".to_owned(),
            Some("give a releases file with an alias for the tag with --releases, or roll them"),
        ),
        Rule::NewerThanKnown => (
            format!(
                "proxies newer than the releases file, which ends at {}",
                at.releases().known_until()
            ),
            Some("give a newer file with --releases, or --ack newer-than-known"),
        ),
        Rule::MixedChannels => (
            format!(
                "proxies of another channel than the control plane, {}",
                at.running
            ),
            None,
        ),
        Rule::EdgeNotRecommended => (
            "proxies of a release that upstream does not recommend".to_owned(),
            None,
        ),
        Rule::VersionPinned => (
            "the proxy is pinned; a roll cannot change its version".to_owned(),
            Some("take the pin out of the annotations or the template"),
        ),
        Rule::TrustAnchorStale => (
            "other trust anchors than the current bundle".to_owned(),
            roll,
        ),
        Rule::UnmeshedButAnnotated => (
            "injection is on, and some or all pods have no proxy".to_owned(),
            Some("a roll mends those that are meshed in part; see why the others are not"),
        ),
        Rule::DowntimeOutage => (
            "would go down while they are rolled".to_owned(),
            Some("agree to each with mesh-roll --allow-outage"),
        ),
        Rule::JobHoldsBack => (
            format!("jobs more than one 2.x behind {base}"),
            Some("wait until they have ended, or give --jobs ignore"),
        ),
        Rule::WorkloadUnhealthy => ("not all pods are ready".to_owned(), None),
        Rule::ControlPlaneNotAtTarget
        | Rule::HopSkipsMinor
        | Rule::Downgrade
        | Rule::TargetUnknown
        | Rule::TargetNotLatestPatch
        | Rule::TargetPrerelease
        | Rule::KubernetesTooOld
        | Rule::KubernetesUntested
        | Rule::CertificateExpired
        | Rule::CertificateExpiring
        | Rule::ControlPlaneUnhealthy
        | Rule::UpgradeInProgress
        | Rule::OperatorManaged
        | Rule::GitopsManaged
        | Rule::InjectorFailsOpen
        | Rule::InjectorNotReady
        | Rule::ExtensionBehind
        | Rule::CniBehind
        | Rule::SurveyPartial
        | Rule::HelmChartSplit
        | Rule::GatewayApiUnprotected
        | Rule::WaiverUnused => (rule.as_str().to_owned(), None),
    }
}

/// Whether what the injector gives now is near enough to what the question is about.
fn roll_helps(at: &Standpoint<'_>) -> bool {
    let skew = |injects| at.releases().skew(injects, at.base()).0;
    at.injects
        .as_ref()
        .is_some_and(|injects| !matches!(skew(injects), Skew::Behind { minors: 2.. }))
}
