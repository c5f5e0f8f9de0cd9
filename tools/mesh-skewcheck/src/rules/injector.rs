//! The rules about the injector: would the API server call it, and what would new pods get?

use mesh_records::{ControlPlane, FailurePolicy, Rule, Webhook};
use mesh_versions::{Use, Version};
use serde_json::Value;

use crate::question::Standpoint;
use crate::remark::Remark;

/// A part of the name of the Deployment and the webhook that add proxies to pods.
const INJECTOR: &str = "proxy-injector";

/// Judges the injector and its webhook.
pub(crate) fn remarks(plane: &ControlPlane, at: &Standpoint<'_>) -> Vec<Remark> {
    let rule = Rule::InjectorNotReady;
    let mut remarks = Vec::new();
    if plane.injects.is_none() {
        let message = "the proxy version that a new pod gets is not known";
        let hint = "allow mesh-survey to read the ConfigMap linkerd-config";
        remarks.push(Remark::cannot_tell(rule, message).hint(hint));
    }
    let component = plane
        .components
        .iter()
        .find(|it| it.name.contains(INJECTOR));
    let version = component.and_then(|it| it.version.as_deref());
    let other = version.filter(|it| !at.same_release(&Version::of_tag(it), &at.running));
    if let Some(version) = other {
        let message = format!(
            "the proxy injector runs {version}, but the control plane is {}",
            at.running
        );
        let hint = "finish the upgrade that is under way: the injector comes with it";
        remarks.push(Remark::new(rule, message).hint(hint));
    }
    match plane.webhooks.iter().find(|it| it.name.contains(INJECTOR)) {
        Some(webhook) => remarks.extend(webhook_remarks(webhook, at)),
        None if plane.webhooks.is_empty() && !is_unregistered(plane) => {
            let message = "the survey does not show the webhook of the proxy injector";
            let hint = "allow mesh-survey to get mutatingwebhookconfigurations";
            let rules = [rule, Rule::InjectorFailsOpen];
            remarks.extend(rules.map(|it| Remark::cannot_tell(it, message).hint(hint)));
        }
        None => {
            let message = "no webhook calls the proxy injector, so new pods get no proxy";
            let hint = "install the control plane's webhook again: an upgrade to the release that \
                        runs writes it";
            remarks.push(Remark::new(rule, message).hint(hint));
        }
    }
    if plane.facts.get("injector_bypassed") == Some(&Value::Bool(true)) {
        let message = "the webhook of the proxy injector selects no pod of the mesh: new pods get \
                       no proxy";
        let webhook = mesh_versions::INJECTOR_WEBHOOK;
        let get = ["get", "mutatingwebhookconfiguration", webhook, "-o", "yaml"];
        let get = at.paste.kubectl(&get);
        let hint = format!("compare its rules and selectors with those of the chart: {get}");
        remarks.push(Remark::new(Rule::InjectorBypassed, message).hint(hint));
    }
    remarks.extend(asked_in_vain(plane));
    remarks
}

/// How many workloads a message names.
const MOST: usize = 5;

fn asked_in_vain(plane: &ControlPlane) -> Option<Remark> {
    let fact = plane.facts.get(Use::AsksButSkipped.as_str())?;
    let count = fact["count"].as_u64().filter(|count| *count > 0)?;
    let workloads = fact["workloads"].as_array().into_iter().flatten();
    let named: Vec<&str> = workloads.filter_map(Value::as_str).take(MOST).collect();
    let rest = match count.saturating_sub(u64::try_from(named.len()).unwrap_or(count)) {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    let what = match count {
        1 => "1 workload asks for a proxy and never gets one".to_owned(),
        count => format!("{count} workloads ask for a proxy and never get one"),
    };
    let message = format!("{what}: {}{rest}", named.join(", "));
    let hint = "see how each asks: linkerd.io/inject belongs on the pod template or the namespace, and \
                pods that use the node's network cannot have a proxy";
    Some(Remark::new(Rule::AsksButSkipped, message).hint(hint))
}

/// Returns true if the API server never calls the injector, for lack of a webhook.
pub(super) fn is_unregistered(plane: &ControlPlane) -> bool {
    plane.facts.get("injector_registered") == Some(&Value::Bool(false))
}

/// Returns the proxy version that a dry-run pod got in each namespace where nothing pins it.
pub(super) fn probed(plane: &ControlPlane) -> impl Iterator<Item = (&str, &str)> {
    let probed = plane.facts.get("probed").and_then(Value::as_object);
    probed.into_iter().flatten().filter_map(|(namespace, got)| {
        let version = got.get("version")?.as_str()?;
        let is_pinned = got.get("pinned") == Some(&Value::Bool(true));
        (!is_pinned).then_some((namespace.as_str(), version))
    })
}

fn webhook_remarks(webhook: &Webhook, at: &Standpoint<'_>) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if webhook.trusted == Some(false) {
        let message = "the API server does not trust the certificate of the proxy injector, so it \
                       cannot call it: the caBundle of its webhook is another one's";
        let hint = "compare the caBundle of mutatingwebhookconfiguration \
                    linkerd-proxy-injector-webhook-config with the Secret \
                    linkerd-proxy-injector-k8s-tls; an upgrade writes both anew";
        remarks.push(Remark::new(Rule::InjectorBypassed, message).hint(hint));
    }
    let conditions = &webhook.selects.conditions;
    if !conditions.is_empty() && webhook.answers.is_none() {
        let conditions = conditions.join(", ");
        let message = format!(
            "the webhook of the proxy injector has matchConditions ({conditions}), which only the \
             API server evaluates"
        );
        let hint = "let mesh-survey ask it with dry-run pods: --probe";
        remarks.push(Remark::cannot_tell(Rule::InjectorBypassed, message).hint(hint));
    }
    match (webhook.ready_endpoints, webhook.answers) {
        (Some(0), _) => {
            let message = "the proxy injector has no ready endpoint";
            let describe = [
                "describe",
                "-n",
                &at.namespace,
                "deployment/linkerd-proxy-injector",
            ];
            let hint = format!("make its pods ready: {}", at.paste.kubectl(&describe));
            remarks.push(Remark::new(Rule::InjectorNotReady, message).hint(hint));
        }
        (_, Some(false)) => {
            let message = "a dry-run pod that asks for a proxy got none, although the pods of the \
                           proxy injector are ready";
            let logs = [
                "logs",
                "-n",
                &at.namespace,
                "deployment/linkerd-proxy-injector",
            ];
            let hint = format!("read what it says: {}", at.paste.kubectl(&logs));
            remarks.push(Remark::new(Rule::InjectorNotReady, message).hint(hint));
        }
        (Some(_), Some(true) | None) | (None, Some(true)) => {}
        (None, None) => {
            let message = "cannot tell whether the proxy injector has a ready endpoint";
            let hint = "allow mesh-survey to list endpointslices in the control plane's namespace";
            remarks.push(Remark::cannot_tell(Rule::InjectorNotReady, message).hint(hint));
        }
    }
    remarks.extend(fails_open(webhook));
    remarks
}

fn fails_open(webhook: &Webhook) -> Option<Remark> {
    let message = "failurePolicy is Ignore: while the proxy injector is down, new pods start \
                   without a proxy";
    let hint = "set webhookFailurePolicy to Fail in the values, or look for pods without a proxy \
                after each roll";
    match webhook.failure_policy {
        FailurePolicy::Fail => None,
        FailurePolicy::Ignore => Some(Remark::new(Rule::InjectorFailsOpen, message).hint(hint)),
    }
}
