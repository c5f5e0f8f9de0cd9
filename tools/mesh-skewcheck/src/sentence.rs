//! Writes the message and the hint of a finding about workloads.

use mesh_records::{Ask, Rule, WorkloadRef};
use mesh_versions::Skew;

use crate::question::Standpoint;
use crate::tally::Group;

const NO_ROLL: &str = "mesh-roll skips them: remove what pins their proxies, wait until Jobs have ended, resume what is paused, create bare pods again, and restart the pods of other controllers with the tool of their owner";

const UNPIN: &str = "remove the pin from the namespace's annotations or the pod template";

/// Returns the command that restarts the workloads.
pub(crate) fn roll(at: &Standpoint<'_>) -> String {
    at.acted(&["--ask", "roll"], "mesh-roll", &[])
}

/// What to do about a rule, where a roll is not the answer.
const HINTS: [(Rule, &str); 13] = [
    (
        Rule::WouldLoseProxy,
        "say what is meant: set linkerd.io/inject on their pod templates to enabled or disabled, or let the webhook's selectors take their namespace",
    ),
    (
        Rule::MixedChannels,
        "bring everything to one channel with the next upgrade and roll",
    ),
    (
        Rule::EdgeNotRecommended,
        "upgrade to another release, then restart them",
    ),
    (
        Rule::TrustAnchorUnknown,
        "restart them once with stable-2.12.1 or later, which leaves a digest",
    ),
    (
        Rule::WorkloadUnhealthy,
        "make them ready first: mesh-roll leaves them alone",
    ),
    (
        Rule::ProxyUnknown,
        "restart them, or add an alias for the image tag to a releases file: --releases FILE",
    ),
    (
        Rule::NewerThanKnown,
        "pass a newer releases file (--releases FILE) or --ack newer-than-known",
    ),
    (Rule::VersionPinned, UNPIN),
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

/// What is said of workloads that break a rule; BASE is the version in question, RUNNING the one that
/// runs, UNTIL the last one that the releases file knows, FAR the distance that is too much.
const SAID: [(Rule, &str); 18] = [
    (
        Rule::WouldLoseProxy,
        "have proxies, but a new pod would get none",
    ),
    (Rule::ProxyTooOld, "run proxies FAR BASE"),
    (Rule::ProxyAhead, "run proxies newer than BASE"),
    (
        Rule::ProxyBehind,
        "run proxies older than BASE, within the supported skew",
    ),
    (
        Rule::ProxyUnknown,
        "run proxies whose Linkerd version is not known",
    ),
    (
        Rule::NewerThanKnown,
        "run proxies newer than UNTIL, the last release in the releases file",
    ),
    (
        Rule::MixedChannels,
        "run proxies of another channel than the control plane, RUNNING",
    ),
    (
        Rule::EdgeNotRecommended,
        "run proxies of a release that is not recommended",
    ),
    (
        Rule::VersionPinned,
        "run pinned proxies; a restart cannot change them",
    ),
    (
        Rule::TrustAnchorStale,
        "run proxies that were started with another trust bundle than the current one, compared \
         byte by byte",
    ),
    (
        Rule::TrustAnchorUnknown,
        "run proxies whose trust anchors cannot be compared with the current bundle",
    ),
    (
        Rule::UnmeshedButAnnotated,
        "run pods without a proxy, although injection is on",
    ),
    (
        Rule::PodsMissing,
        "have fewer pods than their spec asks for",
    ),
    (
        Rule::ProxyTerminating,
        "have pods on their way out whose proxies are too far from BASE",
    ),
    (
        Rule::JobStuckOnProxy,
        "have pods that only the proxy keeps alive",
    ),
    (Rule::JobHoldsBack, "run proxies in Jobs FAR BASE"),
    (Rule::WorkloadUnhealthy, "run pods that are not ready"),
    (Rule::DowntimeOutage, "would be down during the restart"),
];

fn said(rule: Rule, base: &str, at: &Standpoint<'_>) -> String {
    if rule == Rule::ProxyBehind && at.ask() == Ask::Done {
        return format!("run proxies of another version than {base}");
    }
    if rule == Rule::ProxyUnknown && is_base_unknown(at) {
        return format!(
            "run proxies that cannot be compared with {base}, whose minor version is unknown"
        );
    }
    let text = SAID.iter().find(|(of, _)| *of == rule);
    let text = text.map_or(rule.as_str(), |(_, text)| *text);
    let far = match at.question.max_behind {
        0 => "of an older minor version than",
        _ => "more than one minor version behind",
    };
    // A version has no space, so none of these can come from another.
    let word = |word| match word {
        "BASE" | "BASE," => word.replace("BASE", base),
        "RUNNING" => at.running.to_string(),
        "UNTIL," => format!("{},", at.releases().known_until()),
        "FAR" => far.to_owned(),
        plain => plain.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn hint(rule: Rule, group: &Group, at: &Standpoint<'_>) -> Option<String> {
    let rolls = [
        (Rule::ProxyTooOld, roll_helps(at)),
        (Rule::ProxyAhead, roll_helps(at)),
        (
            Rule::ProxyBehind,
            at.ask() != Ask::Upgrade && roll_helps(at),
        ),
        (Rule::TrustAnchorStale, true),
    ];
    if rolls.contains(&(rule, true)) {
        return Some(match (group.rollable, group.pinned) {
            (true, _) => roll(at),
            (false, true) => format!("{UNPIN}, then: {}", roll(at)),
            (false, false) => NO_ROLL.to_owned(),
        });
    }
    let is_of_skew = matches!(rule, Rule::ProxyTooOld | Rule::ProxyAhead);
    if is_of_skew || (rule == Rule::ProxyBehind && at.ask() == Ask::Done) {
        return Some(first_of_all(at));
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

/// What to do before a restart helps.
fn first_of_all(at: &Standpoint<'_>) -> String {
    let Some(injects) = &at.injects else {
        return "find out which proxy a restart would give them, then restart them".to_owned();
    };
    let first = match at.same_release(injects, &at.running) {
        true => "bring the control plane to the next minor version or to the target first",
        false => "remove `proxy.image.version` from the values of the control plane first",
    };
    format!("a restart would give them {injects}, which does not help: {first}, then restart them")
}

fn is_base_unknown(at: &Standpoint<'_>) -> bool {
    at.releases().minor_of(at.base()).is_none()
}

/// Returns true if the injector's proxy is what the question asks for, so that a roll would help.
fn roll_helps(at: &Standpoint<'_>) -> bool {
    let Some(injects) = &at.injects else {
        return false;
    };
    let is_near = match at.releases().skew(injects, at.base()).0 {
        Skew::Behind { minors } => minors <= at.question.max_behind,
        Skew::Ahead { minors } => minors == 0,
        Skew::Same | Skew::Unknown => true,
    };
    match at.ask() {
        Ask::Done => at.same_release(injects, at.base()),
        Ask::Upgrade | Ask::Drift | Ask::Roll => is_near,
    }
}
