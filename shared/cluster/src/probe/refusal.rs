//! Reads why the API server refused a dry-run pod.

use crate::wire::error::{Error, Why};

/// Why the API server refused a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What refused it.
    pub by: Refuser,
    /// The API server's words, on one line, without the pod's name.
    pub words: String,
}

/// What refused a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refuser {
    /// A quota without room. The quota is asked last, so everything else has accepted the pod.
    Quota,
    /// Pod Security, a `ValidatingAdmissionPolicy`, a `LimitRange`, a webhook that denied the pod, or
    /// anything else that somebody must change: waiting does not help.
    Policy,
    /// A webhook that must answer and did not.
    AwayWebhook,
    /// The injector's webhook, which must answer and did not.
    AwayInjector,
    /// The injector's webhook, which denied the pod.
    Injector,
    /// A webhook that takes no dry runs, so nothing is known about a real pod.
    NoDryRuns,
}

/// How the name of the injector's webhook begins.
const INJECTOR: &str = "\"linkerd-proxy-injector.";

impl Refusal {
    /// Returns the refusal, or `None` if the error says nothing of the pod: no answer came, the API
    /// server failed, or the user may not create pods.
    pub(super) fn of(error: &Error) -> Option<Self> {
        Self::read(error.why(), &error.reason())
    }

    fn read(why: Why, reason: &str) -> Option<Self> {
        let words = words(reason);
        let no_room = ["exceeded quota: ", "status unknown for quota: "];
        let denied = words.split_once(" denied the request");
        let by = match why {
            _ if denied.is_some_and(|(by, _)| by.contains(INJECTOR)) => Refuser::Injector,
            _ if denied.is_some() => Refuser::Policy,
            Why::Refused | Why::Forbidden | Why::Broken
                if words.contains("does not support dry run") =>
            {
                Refuser::NoDryRuns
            }
            Why::Broken => {
                let (_, webhook) = words.split_once("failed calling webhook ")?;
                match webhook.starts_with(INJECTOR) {
                    true => Refuser::AwayInjector,
                    false => Refuser::AwayWebhook,
                }
            }
            Why::Forbidden if lacks_a_right(reason) => return None,
            Why::Forbidden if no_room.iter().any(|begin| words.starts_with(begin)) => {
                Refuser::Quota
            }
            Why::Refused | Why::Forbidden => Refuser::Policy,
            Why::Unreachable
            | Why::TimedOut
            | Why::Unauthorized
            | Why::NotFound
            | Why::Conflict
            | Why::Gone
            | Why::Busy
            | Why::Malformed => return None,
        };
        Some(Self { by, words })
    }
}

fn lacks_a_right(reason: &str) -> bool {
    reason.starts_with("pods is forbidden: ") && reason.contains(" cannot create resource ")
}

// Returns what was said about the pod, without its name: each dry run has another one.
fn words(reason: &str) -> String {
    let said = [" is forbidden: ", " is invalid: "]
        .into_iter()
        .find_map(|verb| {
            let (pod, said) = reason.split_once(verb)?;
            (pod.starts_with("pods \"") || pod.starts_with("Pod \"")).then_some(said)
        });
    let said = said.unwrap_or(reason);
    let words = said.split(|c: char| c.is_control() || c.is_whitespace());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_who_refused_the_pod_in_its_own_words() {
        use Refuser::{AwayInjector, AwayWebhook, Injector, NoDryRuns, Policy, Quota};
        let table = [
            (
                Why::Forbidden,
                r#"pods "mesh-probe-x" is forbidden: exceeded quota: full, requested: pods=1, used: pods=5, limited: pods=5"#,
                Quota,
                "exceeded quota: full, requested: pods=1, used: pods=5, limited: pods=5",
            ),
            (
                Why::Forbidden,
                r#"pods "p" is forbidden: status unknown for quota: q, resources: pods"#,
                Quota,
                "status unknown for quota: q, resources: pods",
            ),
            (
                Why::Forbidden,
                r#"pods "p" is forbidden: failed quota: q: must specify limits.cpu for: web"#,
                Policy,
                "failed quota: q: must specify limits.cpu for: web",
            ),
            (
                Why::Forbidden,
                r#"pods "p" is forbidden: violates PodSecurity "restricted:latest": seccompProfile"#,
                Policy,
                r#"violates PodSecurity "restricted:latest": seccompProfile"#,
            ),
            (
                Why::Forbidden,
                r#"pods "p" is forbidden: minimum cpu usage per Container is 100m, but request is 1m"#,
                Policy,
                "minimum cpu usage per Container is 100m, but request is 1m",
            ),
            (
                Why::Refused,
                "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'no' with binding 'no' denied request: never\nhere",
                Policy,
                "ValidatingAdmissionPolicy 'no' with binding 'no' denied request: never here",
            ),
            (
                Why::Refused,
                r#"admission webhook "p.example.com" denied the request: exceeded quota: mine"#,
                Policy,
                r#"admission webhook "p.example.com" denied the request: exceeded quota: mine"#,
            ),
            (
                Why::NotFound,
                r#"admission webhook "p.example.com" denied the request: no such owner"#,
                Policy,
                r#"admission webhook "p.example.com" denied the request: no such owner"#,
            ),
            (
                Why::Broken,
                r#"admission webhook "p.example.com" denied the request: cannot decode it"#,
                Policy,
                r#"admission webhook "p.example.com" denied the request: cannot decode it"#,
            ),
            (
                Why::Refused,
                r#"admission webhook "linkerd-proxy-injector.linkerd.io" denied the request: x"#,
                Injector,
                r#"admission webhook "linkerd-proxy-injector.linkerd.io" denied the request: x"#,
            ),
            (
                Why::Refused,
                r#"admission webhook "p.example.com" does not support dry run"#,
                NoDryRuns,
                r#"admission webhook "p.example.com" does not support dry run"#,
            ),
            (
                Why::Refused,
                r#"Pod "mesh-probe-x" is invalid: spec.containers[1].name: Duplicate value: "a""#,
                Policy,
                r#"spec.containers[1].name: Duplicate value: "a""#,
            ),
            (
                Why::Broken,
                r#"Internal error occurred: failed calling webhook "p.example.com": failed to call webhook: refused"#,
                AwayWebhook,
                r#"Internal error occurred: failed calling webhook "p.example.com": failed to call webhook: refused"#,
            ),
            (
                Why::Broken,
                r#"Internal error occurred: failed calling webhook "linkerd-proxy-injector.linkerd.io": EOF"#,
                AwayInjector,
                r#"Internal error occurred: failed calling webhook "linkerd-proxy-injector.linkerd.io": EOF"#,
            ),
        ];
        for (why, reason, by, words) in table {
            let words = words.to_owned();
            assert_eq!(
                Refusal::read(why, reason),
                Some(Refusal { by, words }),
                "{reason}"
            );
        }
    }

    #[test]
    fn an_answer_that_says_nothing_of_the_pod_is_no_refusal() {
        let table = [
            (
                Why::Forbidden,
                r#"pods is forbidden: User "u" cannot create resource "pods" in API group "" in the namespace "shop""#,
            ),
            (Why::Broken, "etcdserver: request timed out"),
            (
                Why::Conflict,
                "Operation cannot be fulfilled on resourcequotas \"q\"",
            ),
            (Why::Busy, "too many requests"),
            (Why::TimedOut, "no answer"),
        ];
        for (why, reason) in table {
            assert_eq!(Refusal::read(why, reason), None, "{reason}");
        }
    }
}
