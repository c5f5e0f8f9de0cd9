//! Writes the message and the hint of a finding about workloads.

use mesh_records::{Ask, Decided, Rule};
use mesh_versions::Skew;

use crate::question::Standpoint;
use crate::tally::Group;

pub(crate) const ROLL: &str = "mesh-survey | mesh-skewcheck --ask roll | mesh-roll";

/// What to do about a rule, where a roll is not the answer.
const HINTS: [(Rule, &str); 6] = [
    (
        Rule::ProxyUnknown,
        "give a releases file with an alias for the tag with --releases, or roll them",
    ),
    (
        Rule::NewerThanKnown,
        "give a newer file with --releases, or --ack newer-than-known",
    ),
    (
        Rule::VersionPinned,
        "take the pin out of the annotations or the template",
    ),
    (
        Rule::UnmeshedButAnnotated,
        "a roll mends those that are meshed in part; see why the others are not",
    ),
    (
        Rule::DowntimeOutage,
        "agree to each with mesh-roll --allow-outage",
    ),
    (
        Rule::JobHoldsBack,
        "wait until they have ended, or give --jobs ignore",
    ),
];

/// Returns the message and the hint for a group of workloads.
pub(crate) fn sentence(
    rule: Rule,
    decided: Decided,
    group: &Group,
    at: &Standpoint<'_>,
) -> (String, Option<String>) {
    let base = at.base();
    let (text, hint) = match decided {
        Decided::Yes => (said(rule, &base.to_string(), at), hint(rule, at)),
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

fn said(rule: Rule, base: &str, at: &Standpoint<'_>) -> String {
    match rule {
        Rule::ProxyTooOld => format!("proxies more than one 2.x behind {base}"),
        Rule::ProxyAhead => format!("proxies ahead of {base}"),
        Rule::ProxyBehind if at.ask() == Ask::Done => format!("proxies not at {base}"),
        Rule::ProxyBehind => format!("proxies behind {base}, within what is allowed"),
        Rule::ProxyUnknown if is_base_unknown(at) => {
            format!("cannot be compared with {base}, whose 2.x is not known")
        }
        Rule::ProxyUnknown => {
            "proxies whose version no image, annotation or alias tells for sure".to_owned()
        }
        Rule::NewerThanKnown => {
            let end = at.releases().known_until();
            format!("proxies newer than the releases file, which ends at {end}")
        }
        Rule::MixedChannels => {
            let running = &at.running;
            format!("proxies of another channel than the control plane, {running}")
        }
        Rule::EdgeNotRecommended => {
            "proxies of a release that upstream does not recommend".to_owned()
        }
        Rule::VersionPinned => "the proxy is pinned; a roll cannot change its version".to_owned(),
        Rule::TrustAnchorStale => "other trust anchors than the current bundle".to_owned(),
        Rule::UnmeshedButAnnotated => {
            "injection is on, and some or all pods have no proxy".to_owned()
        }
        Rule::DowntimeOutage => "would go down while they are rolled".to_owned(),
        Rule::JobHoldsBack => format!("jobs more than one 2.x behind {base}"),
        Rule::WorkloadUnhealthy => "not all pods are ready".to_owned(),
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
        | Rule::WaiverUnused => rule.as_str().to_owned(),
    }
}

fn hint(rule: Rule, at: &Standpoint<'_>) -> Option<&'static str> {
    let rolls = [
        (Rule::ProxyTooOld, roll_helps(at)),
        (Rule::ProxyAhead, true),
        (Rule::ProxyBehind, at.ask() != Ask::Upgrade),
        (Rule::TrustAnchorStale, true),
    ];
    if rolls.contains(&(rule, true)) {
        return Some(ROLL);
    }
    if rule == Rule::ProxyUnknown && is_base_unknown(at) {
        return Some("give a releases file with an alias for it with --releases");
    }
    let hint = HINTS.iter().find(|(of, _)| *of == rule);
    hint.map(|(_, hint)| *hint)
}

fn is_base_unknown(at: &Standpoint<'_>) -> bool {
    at.releases().minor_of(at.base()).is_none()
}

/// Returns true if the injector's proxy is close enough to the version in question, so that a roll
/// would help.
fn roll_helps(at: &Standpoint<'_>) -> bool {
    let skew = |injects| at.releases().skew(injects, at.base()).0;
    at.injects
        .as_ref()
        .is_some_and(|injects| !matches!(skew(injects), Skew::Behind { minors: 2.. }))
}
