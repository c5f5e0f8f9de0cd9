//! The rules about the control plane itself: is it complete, rolling out, reachable, managed by
//! another tool?

use std::cmp::Ordering;

use mesh_records::{
    Component, ControlPlane, FailurePolicy, InstalledBy, ProxyCount, Rule, State, Webhook,
};
use mesh_versions::Version;
use serde_json::Value;

use crate::question::Standpoint;
use crate::remark::Remark;
use crate::rule::Weight;

/// A part of the name of the Deployment and the webhook that add proxies to pods.
const INJECTOR: &str = "proxy-injector";
/// The Deployments that every control plane has. Without them proxies get no certificate, find no
/// endpoints, or are not injected.
const PARTS: [&str; 3] = ["destination", "identity", INJECTOR];

/// Judges the control plane's state in the survey.
pub(crate) fn remarks(plane: &ControlPlane, at: &Standpoint<'_>) -> Vec<Remark> {
    let mut remarks = settled(plane, at);
    remarks.extend(not_at_target(plane, at));
    remarks.extend(injector(plane, at));
    remarks.extend(in_other_hands(plane));
    remarks
}

fn settled(plane: &ControlPlane, at: &Standpoint<'_>) -> Vec<Remark> {
    if plane.components.is_empty() {
        let message = "the survey shows no component of the control plane";
        return vec![Remark::cannot_tell(Rule::ControlPlaneUnhealthy, message)];
    }
    let mut remarks = Vec::new();
    let mixed: Vec<&Component> = plane
        .components
        .iter()
        .filter(|it| !runs(it, &at.running, at).unwrap_or(true))
        .collect();
    let mut faults: Vec<String> = plane.components.iter().filter_map(fault).collect();
    faults.extend(absent(plane).map(|part| format!("{part} is missing")));
    let settled = plane.state == State::Settled && faults.is_empty();
    let on_its_way = plane
        .components
        .iter()
        .any(|it| it.updated < it.wanted || has_old_proxy(it, at));
    if !mixed.is_empty() || (!settled && on_its_way) {
        remarks.push(in_progress(plane, &mixed, at));
    } else if !settled {
        remarks.push(Remark::new(
            Rule::ControlPlaneUnhealthy,
            unhealthy(plane.state, &faults),
        ));
    }
    if plane.components.iter().any(|it| it.version.is_none()) {
        let message = "the version of a component is not known, so an upgrade may be in progress";
        remarks.push(Remark::cannot_tell(Rule::UpgradeInProgress, message));
    }
    remarks
}

fn runs(component: &Component, version: &Version, at: &Standpoint<'_>) -> Option<bool> {
    let runs = Version::of_tag(component.version.as_deref()?);
    Some(at.same_release(&runs, version))
}

fn has_old_proxy(component: &Component, at: &Standpoint<'_>) -> bool {
    component
        .proxies
        .iter()
        .any(|proxy| !proxy_is(proxy, &at.running, at).unwrap_or(true))
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

fn absent(plane: &ControlPlane) -> impl Iterator<Item = &'static str> {
    let is_there = |part: &str| plane.components.iter().any(|it| it.name.contains(part));
    PARTS.into_iter().filter(move |part| !is_there(part))
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

fn in_progress(plane: &ControlPlane, mixed: &[&Component], at: &Standpoint<'_>) -> Remark {
    let running = &at.running;
    let others: Vec<String> = mixed
        .iter()
        .filter_map(|it| Some(format!("{} runs {}", it.name, it.version.as_deref()?)))
        .collect();
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
        Some(target) if at.same_release(target, &towards) => remark
            .weighing(Weight::Soft)
            .hint("run the same upgrade again: it continues where it stopped"),
        Some(_) => remark.hint(format!("finish that upgrade first: --to {towards}")),
        None => remark.hint("wait until that upgrade ends, or finish it with mesh-cp-upgrade"),
    }
}

// Returns the one later release that components already run although `linkerd-config` was not
// written. helm continues with the other objects after one could not be written.
fn ahead(mixed: &[&Component], at: &Standpoint<'_>) -> Option<Version> {
    let mut versions = mixed.iter().map(|it| it.version.as_deref());
    let first = Version::of_tag(versions.next()??);
    let same = |version: Option<&str>| {
        version.is_some_and(|it| at.same_release(&Version::of_tag(it), &first))
    };
    let later = at.running.order(&first) == Some(Ordering::Less);
    (later && versions.all(same)).then_some(first)
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
        compare(
            &format!("{} runs", component.name),
            component.version.as_deref(),
        );
        for proxy in component.proxies.iter().filter(|proxy| proxy.count > 0) {
            let version = proxy.version.as_deref().or(proxy.tag.as_deref());
            compare(&format!("a proxy of {} runs", component.name), version);
        }
    }
    if is_unregistered(plane) {
        wrong.push("new pods get no proxy".to_owned());
    }
    if plane.state != State::Settled {
        wrong.push("its rollout is not finished".to_owned());
    }
    let mut remarks = Vec::new();
    if !wrong.is_empty() {
        let message = format!("the control plane is not at {target}: {}", wrong.join(", "));
        remarks.push(Remark::new(rule, message));
    }
    if !unknown.is_empty() {
        let message = format!("the survey does not show what {}", unknown.join(", what "));
        remarks.push(Remark::cannot_tell(rule, message));
    }
    remarks
}

fn injector(plane: &ControlPlane, at: &Standpoint<'_>) -> Vec<Remark> {
    let rule = Rule::InjectorNotReady;
    let mut remarks = Vec::new();
    if plane.injects.is_none() {
        let message = "the proxy version that a new pod gets is not known";
        remarks.push(Remark::cannot_tell(rule, message));
    }
    let component = plane
        .components
        .iter()
        .find(|it| it.name.contains(INJECTOR));
    if let Some(version) = component.filter(|it| runs(it, &at.running, at) == Some(false)) {
        let version = version.version.as_deref().unwrap_or("?");
        let message = format!(
            "the proxy injector runs {version}, but the control plane is {}",
            at.running
        );
        remarks.push(Remark::new(rule, message));
    }
    match plane.webhooks.iter().find(|it| it.name.contains(INJECTOR)) {
        Some(webhook) => remarks.extend(webhook_remarks(webhook)),
        None if plane.webhooks.is_empty() && !is_unregistered(plane) => {
            let message = "the survey does not show the webhook of the proxy injector";
            remarks.push(Remark::cannot_tell(rule, message));
            remarks.push(Remark::cannot_tell(Rule::InjectorFailsOpen, message));
        }
        None => remarks.push(Remark::new(
            rule,
            "no webhook calls the proxy injector, so new pods get no proxy",
        )),
    }
    if plane.facts.get("injector_bypassed") == Some(&Value::Bool(true)) {
        let message = "the webhook of the proxy injector selects no pod of the mesh: new pods get \
                       no proxy";
        let webhook = "linkerd-proxy-injector-webhook-config";
        let get = ["get", "mutatingwebhookconfiguration", webhook, "-o", "yaml"];
        let get = at.paste.kubectl(&get);
        let hint = format!("compare its rules and selectors with those of the chart: {get}");
        remarks.push(Remark::new(Rule::InjectorBypassed, message).hint(hint));
    }
    remarks
}

// Without a webhook configuration the API server never calls the injector.
fn is_unregistered(plane: &ControlPlane) -> bool {
    plane.facts.get("injector_registered") == Some(&Value::Bool(false))
}

fn webhook_remarks(webhook: &Webhook) -> Vec<Remark> {
    let mut remarks = Vec::new();
    match (webhook.ready_endpoints, webhook.answers) {
        (Some(0), _) => {
            let message = "the proxy injector has no ready endpoint";
            remarks.push(Remark::new(Rule::InjectorNotReady, message));
        }
        (_, Some(false)) => {
            let message =
                "the proxy injector does not answer the API server, although its pods are ready";
            remarks.push(Remark::new(Rule::InjectorNotReady, message));
        }
        (Some(_), Some(true) | None) | (None, Some(true)) => {}
        (None, None) => {
            let message = "cannot tell whether the proxy injector has a ready endpoint";
            remarks.push(Remark::cannot_tell(Rule::InjectorNotReady, message));
        }
    }
    match webhook.failure_policy {
        FailurePolicy::Fail => {}
        FailurePolicy::Ignore => {
            let message = "failurePolicy is Ignore: while the proxy injector is down, new pods \
                           start without a proxy";
            remarks.push(Remark::new(Rule::InjectorFailsOpen, message));
        }
    }
    remarks
}

fn in_other_hands(plane: &ControlPlane) -> Option<Remark> {
    match plane.installed_by {
        InstalledBy::Operator => {
            let message = "Buoyant's operator manages this control plane";
            let hint = "change the version in its ControlPlane resource";
            Some(Remark::new(Rule::OperatorManaged, message).hint(hint))
        }
        InstalledBy::Gitops => {
            let message = "Argo CD or Flux manages this control plane";
            let hint = "change the version in the source that Argo CD or Flux applies";
            Some(Remark::new(Rule::GitopsManaged, message).hint(hint))
        }
        InstalledBy::Helm | InstalledBy::Cli | InstalledBy::Unknown => None,
    }
}
