//! Writes the message and the hint of a finding about workloads.

use mesh_records::{Ask, Rule, WorkloadRef};
use mesh_versions::Skew;

use crate::question::Standpoint;
use crate::tally::Group;

const NO_ROLL: &str = "mesh-roll does not restart them: wait until Jobs have ended, and create bare pods and pods of other controllers again yourself";

/// Returns the command that restarts the workloads.
pub(crate) fn roll(at: &Standpoint<'_>) -> String {
    at.paste.pipeline(&["--ask", "roll"], "mesh-roll")
}

/// What to do about a rule, where a roll is not the answer.
const HINTS: [(Rule, &str); 8] = [
    (
        Rule::ProxyUnknown,
        "restart them, or add an alias for the image tag to a releases file: --releases FILE",
    ),
    (
        Rule::NewerThanKnown,
        "pass a newer releases file (--releases FILE) or --ack newer-than-known",
    ),
    (
        Rule::VersionPinned,
        "remove the pin from the namespace's annotations or the pod template",
    ),
    (
        Rule::UnmeshedButAnnotated,
        "restart those in which some pods have a proxy; for the others, check linkerd.io/inject and the proxy injector",
    ),
    (
        Rule::DowntimeOutage,
        "allow it for each workload with --allow-outage NAMESPACE/NAME of mesh-roll",
    ),
    (
        Rule::ProxyTerminating,
        "they go by themselves; if they stay for long, see what their containers wait for",
    ),
    (
        Rule::JobStuckOnProxy,
        "waiting does not help: delete these pods, or end the proxy in them (POST /shutdown to its port 4191)",
    ),
    (
        Rule::JobHoldsBack,
        "wait until the Jobs have ended, or pass --jobs ignore",
    ),
];

/// Returns the message and the hint for a group of workloads.
pub(crate) fn sentence(rule: Rule, group: &Group, at: &Standpoint<'_>) -> (String, Option<String>) {
    let text = said(rule, &at.base().to_string(), at);
    let one = group.count == 1;
    let noun = if one { "workload" } else { "workloads" };
    let text = match text.split_once(' ') {
        Some(("run", rest)) if one => format!("runs {rest}"),
        Some(("have", rest)) if one => format!("has {rest}"),
        Some(_) | None => text,
    };
    let message = format!("{} {noun} {text}{}", group.count, versions(group));
    (message, hint(rule, group, at))
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
        Rule::ProxyTooOld => format!("run proxies more than one minor version behind {base}"),
        Rule::ProxyAhead => format!("run proxies newer than {base}"),
        Rule::ProxyBehind if at.ask() == Ask::Done => {
            format!("run proxies of another version than {base}")
        }
        Rule::ProxyBehind => format!("run proxies older than {base}, within the supported skew"),
        Rule::ProxyUnknown => unknown_proxy(base, at),
        Rule::NewerThanKnown => {
            let end = at.releases().known_until();
            format!("run proxies newer than {end}, the last release in the releases file")
        }
        Rule::MixedChannels => {
            let running = &at.running;
            format!("run proxies of another channel than the control plane, {running}")
        }
        Rule::EdgeNotRecommended => "run proxies of a release that is not recommended".to_owned(),
        Rule::VersionPinned => "run pinned proxies; a restart cannot change them".to_owned(),
        Rule::TrustAnchorStale => {
            "run proxies whose trust anchors are not the current ones".to_owned()
        }
        Rule::TrustAnchorUnknown => {
            "run proxies whose trust anchors cannot be compared with the current bundle".to_owned()
        }
        Rule::PodsMissing => "have fewer pods than they want".to_owned(),
        Rule::UnmeshedButAnnotated => {
            "run pods without a proxy, although injection is on".to_owned()
        }
        Rule::ProxyTerminating => {
            format!("have pods on their way out whose proxies are too far from {base}")
        }
        Rule::JobStuckOnProxy => "have pods that only the proxy keeps alive".to_owned(),
        Rule::DowntimeOutage => "would be down during the restart".to_owned(),
        Rule::JobHoldsBack => format!("run Job proxies more than one minor version behind {base}"),
        Rule::WorkloadUnhealthy => "run pods that are not ready".to_owned(),
        Rule::ControlPlaneNotAtTarget
        | Rule::ComponentPinned
        | Rule::LeftoverComponent
        | Rule::AnchorExpired
        | Rule::WebhookCertificateExpired
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
        | Rule::InjectorBypassed
        | Rule::ProxiesOutside
        | Rule::ExtensionBehind
        | Rule::CniBehind
        | Rule::SurveyPartial
        | Rule::HelmChartSplit
        | Rule::GatewayApiUnprotected
        | Rule::WaiverUnused => rule.as_str().to_owned(),
    }
}

fn unknown_proxy(base: &str, at: &Standpoint<'_>) -> String {
    if is_base_unknown(at) {
        format!("run proxies that cannot be compared with {base}, whose minor version is unknown")
    } else {
        "run proxies whose Linkerd version is not known".to_owned()
    }
}

fn hint(rule: Rule, group: &Group, at: &Standpoint<'_>) -> Option<String> {
    let rolls = [
        (Rule::ProxyTooOld, roll_helps(at)),
        (Rule::ProxyAhead, true),
        (Rule::ProxyBehind, at.ask() != Ask::Upgrade),
        (Rule::TrustAnchorStale, true),
    ];
    if rolls.contains(&(rule, true)) {
        return Some(match group.rollable {
            true => roll(at),
            false => NO_ROLL.to_owned(),
        });
    }
    if rule == Rule::ProxyUnknown && is_base_unknown(at) {
        let hint = "pass a releases file that has an alias for this version: --releases FILE";
        return Some(hint.to_owned());
    }
    if rule == Rule::PodsMissing
        && let Some(first) = group.workloads.iter().next()
    {
        let WorkloadRef {
            namespace,
            kind,
            name,
        } = first;
        let words = ["-n", namespace, "describe", &format!("{kind}/{name}")];
        let command = at.paste.kubectl(&words);
        return Some(format!(
            "see why no pod is created: {command} (then its ReplicaSet)"
        ));
    }
    let hint = HINTS.iter().find(|(of, _)| *of == rule);
    hint.map(|(_, hint)| (*hint).to_owned())
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
