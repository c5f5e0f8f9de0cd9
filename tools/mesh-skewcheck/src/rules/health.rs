//! The rules about the control plane itself: is it complete, rolling out, reachable, managed by
//! another tool?

use std::cmp::Ordering;

use mesh_records::{Ask, Component, ControlPlane, InstalledBy, ProxyCount, Rule, State};
use mesh_versions::{COMPONENTS, Count, Version};

use super::held::{self, Part};
use super::injector;
use crate::question::Standpoint;
use crate::remark::Remark;
use crate::rule::Weight;

/// Judges the control plane's state in the survey.
pub(crate) fn remarks(plane: &ControlPlane, at: &Standpoint<'_>) -> Vec<Remark> {
    let mut remarks = settled(plane, at);
    remarks.extend(not_at_target(plane, at));
    remarks.extend(injector::remarks(plane, at));
    remarks.extend(held::remarks(plane, at));
    remarks.extend(in_other_hands(plane, at));
    remarks.extend(outside(plane));
    remarks
}

fn settled(plane: &ControlPlane, at: &Standpoint<'_>) -> Vec<Remark> {
    if plane.components.is_empty() {
        let message = "the survey shows no component of the control plane";
        let hint = "allow mesh-survey to list deployments, and see that none was filtered out";
        return vec![Remark::cannot_tell(Rule::ControlPlaneUnhealthy, message).hint(hint)];
    }
    let mut remarks = Vec::new();
    let mixed = held::not_held(plane, at);
    let faults = faults(plane);
    let settled = plane.state == State::Settled && faults.is_empty();
    let is_on_its_way = is_on_its_way(plane, &mixed, at);
    if is_on_its_way {
        remarks.push(in_progress(plane, &mixed, at));
    }
    // No upgrade takes a component away.
    let is_gone =
        absent(plane).next().is_some() || plane.components.iter().any(|it| it.wanted == 0);
    if is_gone || (!settled && !is_on_its_way) {
        let pods = at.paste.kubectl(&["get", "pods", "-n", &plane.namespace]);
        let remark = Remark::new(Rule::ControlPlaneUnhealthy, unhealthy(plane.state, &faults));
        remarks.push(remark.hint(format!("find out why, and fix that: {pods}")));
    }
    let mut parts = plane.components.iter().flat_map(Component::parts);
    if parts.any(|(_, version)| version.is_none()) {
        let message = "the version of a component is not known, so an upgrade may be in progress";
        let hint =
            "see which release its image is: a mirror's tag may need an alias (--releases FILE)";
        remarks.push(Remark::cannot_tell(Rule::UpgradeInProgress, message).hint(hint));
    }
    remarks
}

/// Returns true if an upgrade has begun and not ended.
pub(crate) fn is_in_progress(plane: &ControlPlane, at: &Standpoint<'_>) -> bool {
    is_on_its_way(plane, &held::not_held(plane, at), at)
}

fn is_on_its_way(plane: &ControlPlane, mixed: &[Part<'_>], at: &Standpoint<'_>) -> bool {
    let settled = plane.state == State::Settled && faults(plane).is_empty();
    let mut components = plane.components.iter();
    !mixed.is_empty()
        || (!settled && components.any(|it| it.updated < it.wanted || has_old_proxy(it, at)))
}

fn faults(plane: &ControlPlane) -> Vec<String> {
    let faults = plane.components.iter().filter_map(fault);
    let absent = absent(plane).map(|part| format!("{part} is missing"));
    faults.chain(absent).collect()
}

fn has_old_proxy(component: &Component, at: &Standpoint<'_>) -> bool {
    // A value may pin what the injector gives.
    let given = at.injects.as_ref().unwrap_or(&at.running);
    component
        .proxies
        .iter()
        .any(|proxy| !proxy_is(proxy, given, at).unwrap_or(true))
}

fn proxy_is(proxy: &ProxyCount, version: &Version, at: &Standpoint<'_>) -> Option<bool> {
    let text = proxy.version.as_deref().or(proxy.tag.as_deref())?;
    Some(at.same_release(&Version::of_tag(text), version))
}

fn fault(component: &Component) -> Option<String> {
    let Component {
        name,
        wanted,
        ready,
        updated,
        ..
    } = component;
    if *wanted == 0 {
        Some(format!("{name} is scaled to zero"))
    } else if ready < wanted {
        Some(format!("{name} has {ready} of {wanted} replicas ready"))
    } else if updated < wanted {
        Some(format!(
            "{name} has {updated} of {wanted} replicas of its newest pod template"
        ))
    } else {
        None
    }
}

/// Without one of its components a control plane gives proxies no certificates, no endpoints, or no
/// injection.
fn absent(plane: &ControlPlane) -> impl Iterator<Item = &'static str> {
    let is_there = |part: &str| plane.components.iter().any(|it| it.name == part);
    COMPONENTS.into_iter().filter(move |part| !is_there(part))
}

fn unhealthy(state: State, faults: &[String]) -> String {
    let state = match state {
        State::Settled => "the control plane is not healthy",
        State::Rolling => "the rollout of the control plane is not finished",
        State::Failed => "the rollout of a control plane component is stuck",
    };
    if faults.is_empty() {
        state.to_owned()
    } else {
        format!("{state}: {}", faults.join(", "))
    }
}

fn in_progress(plane: &ControlPlane, mixed: &[Part<'_>], at: &Standpoint<'_>) -> Remark {
    let running = &at.running;
    let others = mixed
        .iter()
        .map(|Part { name, version }| format!("{name} runs {version}"));
    let others: Vec<String> = others.collect();
    let (towards, mut details) = match ahead(mixed, at) {
        Some(ahead) => (ahead, vec![format!("linkerd-config says {running}")]),
        None => (running.clone(), Vec::new()),
    };
    details.extend(others);
    let detail = if details.is_empty() {
        String::new()
    } else {
        format!(": {}", details.join(", "))
    };
    let state = match plane.state {
        State::Settled | State::Rolling => "is in progress",
        State::Failed => "has started, but is stuck",
    };
    let remark = Remark::new(
        Rule::UpgradeInProgress,
        format!("an upgrade to {towards} {state}{detail}"),
    );
    match &at.target {
        Some(target) if at.ask() == Ask::Upgrade && at.same_release(target, &towards) => remark
            .weighing(Weight::Soft)
            .hint("run the same upgrade again: it continues where it stopped"),
        Some(_) => remark.hint(format!("finish that upgrade first: --to {towards}")),
        None => remark.hint("wait until that upgrade ends, or finish it with mesh-cp-upgrade"),
    }
}

// Returns the one later release that components already run although `linkerd-config` was not
// written. helm continues with the other objects after one could not be written.
fn ahead(mixed: &[Part<'_>], at: &Standpoint<'_>) -> Option<Version> {
    let mut versions = mixed.iter().map(|part| Version::of_tag(part.version));
    let first = versions.next()?;
    let later = at.running.order(&first) == Some(Ordering::Less);
    (later && versions.all(|it| at.same_release(&it, &first))).then_some(first)
}

fn not_at_target(plane: &ControlPlane, at: &Standpoint<'_>) -> Vec<Remark> {
    let Some(target) = &at.target else {
        return Vec::new();
    };
    let rule = Rule::ControlPlaneNotAtTarget;
    let mut wrong = Vec::new();
    let mut unknown = Vec::new();
    let mut compare = |what: &str, version: Option<&str>| match version {
        None => unknown.push(what.to_owned()),
        Some(text) if at.same_release(&Version::of_tag(text), target) => {}
        Some(text) => wrong.push(format!("{what} {text}")),
    };
    compare("linkerd-config says", plane.version.as_deref());
    compare("new pods get", plane.injects.as_deref());
    for component in &plane.components {
        for (part, version) in component.parts() {
            if held::by_value(&part, version, plane, at).is_none() {
                compare(&format!("{part} runs"), version);
            }
        }
        for proxy in component.proxies.iter().filter(|proxy| proxy.count > 0) {
            let version = proxy.version.as_deref().or(proxy.tag.as_deref());
            compare(&format!("a proxy of {} runs", component.name), version);
        }
    }
    for (namespace, version) in injector::probed(plane) {
        compare(&format!("a dry-run pod in {namespace} gets"), Some(version));
    }
    if injector::is_unregistered(plane) {
        wrong.push("new pods get no proxy".to_owned());
    }
    if plane.state != State::Settled {
        wrong.push("its rollout is not finished".to_owned());
    }
    let mut remarks = Vec::new();
    if !wrong.is_empty() {
        let message = format!("the control plane is not at {target}: {}", wrong.join(", "));
        remarks.push(Remark::new(rule, message).hint(to_target(plane, target, at)));
    }
    if !unknown.is_empty() {
        let message = format!("the survey does not show what {}", unknown.join(", what "));
        let hint = "allow mesh-survey to read linkerd-config and the Deployments, or name a mirror's \
                    tags in a releases file (--releases FILE)";
        remarks.push(Remark::cannot_tell(rule, message).hint(hint));
    }
    remarks
}

/// Returns the way to the target, with what may write the control plane.
fn to_target(plane: &ControlPlane, target: &Version, at: &Standpoint<'_>) -> String {
    if at.running.order(target) == Some(Ordering::Greater) {
        let done = at.judged(&["--ask", "done", "--to", at.running.as_str()]);
        return format!("ask about the release that runs, or go back as you came: {done}");
    }
    match plane.installed_by {
        InstalledBy::Helm | InstalledBy::Cli => {
            let to = ["--to", target.as_str()];
            let upgrade = at.acted(&to, "mesh-cp-upgrade", &[]);
            format!("upgrade to it, which goes on where an upgrade stopped: {upgrade}")
        }
        InstalledBy::Gitops | InstalledBy::Operator | InstalledBy::Unknown => {
            "upgrade to it with what installed the control plane".to_owned()
        }
    }
}

fn outside(plane: &ControlPlane) -> Option<Remark> {
    let count = plane
        .facts
        .get(Count::ExternalWorkloads.as_str())?
        .as_u64()?;
    let message = format!(
        "{count} ExternalWorkloads are part of the mesh: their proxies run outside of the cluster, and \
         nothing here shows their versions"
    );
    let hint = "compare their versions where they run, and upgrade them there";
    (count > 0).then(|| Remark::new(Rule::ProxiesOutside, message).hint(hint))
}

fn in_other_hands(plane: &ControlPlane, at: &Standpoint<'_>) -> Option<Remark> {
    let afterwards = match &at.target {
        Some(to) => {
            let done = at.judged(&["--ask", "done", "--to", to.as_str()]);
            format!("; afterwards ask whether it is done: {done}")
        }
        None => String::new(),
    };
    let unclear = match plane.conflicts.is_empty() {
        true => "nothing tells what installed this control plane".to_owned(),
        false => format!(
            "it is not clear what installed this control plane ({})",
            plane.conflicts.join("; ")
        ),
    };
    let unclear = format!("{unclear}, so mesh-cp-upgrade does not write it");
    let (rule, message, hint) = match plane.installed_by {
        InstalledBy::Operator => (
            Rule::OperatorManaged,
            "Buoyant's operator manages this control plane",
            "change the version in its ControlPlane resource",
        ),
        InstalledBy::Gitops => (
            Rule::GitopsManaged,
            "Argo CD or Flux manages this control plane, so mesh-cp-upgrade does not write it",
            "change the version in the source that Argo CD or Flux applies",
        ),
        InstalledBy::Unknown => (
            Rule::InstallerUnknown,
            unclear.as_str(),
            "change the version with what installed it",
        ),
        InstalledBy::Helm | InstalledBy::Cli => return None,
    };
    Some(Remark::new(rule, message).hint(format!("{hint}{afterwards}")))
}
