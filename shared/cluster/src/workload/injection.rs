//! Decides whether the injector would give a pod a proxy, by the injector's own rules.

use mesh_records::{Pin, PinPlace};

use crate::object::label;
use crate::object::{Meta, PodSpec};
use crate::workload::pin::asked_pin;

/// A namespace's injection settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    inject: Word,
    hidden: bool,
    pin: Option<Pin>,
}

/// Whether a new pod gets a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// The pod gets a proxy.
    On,
    /// The pod gets no proxy.
    Off(Off),
}

/// Why a new pod gets no proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Off {
    /// Neither the namespace nor the pod asks for a proxy, or the pod declines it.
    NotAsked,
    /// An annotation has a value that the injector does not know.
    Invalid,
    /// The webhook excludes the namespace.
    Namespace,
    /// The webhook excludes the pod, because it belongs to a control plane or the CNI plugin.
    OwnParts,
    /// The pod uses the node's network (`hostNetwork`).
    HostNetwork,
    /// The pod already has a proxy, from Linkerd or another mesh.
    Sidecar,
    /// The pod does not mount a service account token, which a proxy needs.
    NoToken,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Word {
    #[default]
    Absent,
    Yes,
    No,
    Invalid,
}

/// Namespaces that the injector's webhook excludes by name.
const LEFT_OUT: [&str; 2] = ["kube-system", "cert-manager"];
/// Containers that make the injector skip a pod.
const SIDECARS: [&str; 4] = [label::PROXY, "linkerd-init", "istio-proxy", "istio-init"];

/// Returns true if the injector's webhook excludes a namespace by its name.
pub fn is_left_out(namespace: &str) -> bool {
    LEFT_OUT.contains(&namespace)
}

/// Decides whether the injector would give a proxy to a pod with this metadata and spec.
pub fn injection(rules: &Rules, pod: &Meta, spec: &PodSpec) -> Injection {
    if rules.hidden {
        return Injection::Off(Off::Namespace);
    }
    if pod.labels.contains_key(label::COMPONENT) || pod.labels.contains_key(label::CNI) {
        return Injection::Off(Off::OwnParts);
    }
    let asked = match (rules.inject, Word::of(pod)) {
        (Word::Invalid, _) | (_, Word::Invalid) => Err(Off::Invalid),
        (_, Word::Yes) | (Word::Yes, Word::Absent) => Ok(()),
        (_, Word::No) | (Word::Absent | Word::No, Word::Absent) => Err(Off::NotAsked),
    };
    let able = asked.and_then(|()| {
        if spec.host_network {
            Err(Off::HostNetwork)
        } else if has_sidecar(spec) {
            Err(Off::Sidecar)
        } else if spec.automount_service_account_token == Some(false) {
            Err(Off::NoToken)
        } else {
            Ok(())
        }
    });
    able.map_or_else(Injection::Off, |()| Injection::On)
}

fn has_sidecar(spec: &PodSpec) -> bool {
    let mut containers = spec.init_containers.iter().chain(&spec.containers);
    containers.any(|container| SIDECARS.contains(&container.name.as_str()))
}

// === impl Rules ===

impl Rules {
    /// Reads the settings from a namespace's labels and annotations.
    pub fn of(namespace: &Meta) -> Self {
        let disabled = namespace
            .labels
            .get(label::ADMISSION)
            .is_some_and(|word| word == "disabled");
        Self {
            inject: Word::of(namespace),
            hidden: disabled || is_left_out(&namespace.name),
            pin: asked_pin(namespace, PinPlace::Namespace),
        }
    }

    /// Returns the namespace's pin of its proxies.
    pub fn pin(&self) -> Option<&Pin> {
        self.pin.as_ref()
    }
}

// === impl Word ===

impl Word {
    fn of(meta: &Meta) -> Self {
        match meta.annotations.get(label::INJECT).map(String::as_str) {
            None => Self::Absent,
            Some("enabled" | "ingress") => Self::Yes,
            Some("disabled") => Self::No,
            Some(_) => Self::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(name: &str, annotation: &str, labels: &[(&str, &str)]) -> Meta {
        let mut meta = Meta {
            name: name.to_owned(),
            ..Meta::default()
        };
        if !annotation.is_empty() {
            meta.annotations
                .insert(label::INJECT.to_owned(), annotation.to_owned());
        }
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        meta.labels = labels.collect();
        meta
    }

    #[test]
    fn the_pods_inject_annotation_beats_the_namespaces_and_an_unknown_value_is_off() {
        use Injection::{Off as No, On};
        // namespace, pod, answer
        let table = [
            ("", "", No(Off::NotAsked)),
            ("enabled", "", On),
            ("enabled", "disabled", No(Off::NotAsked)),
            ("disabled", "enabled", On),
            ("disabled", "", No(Off::NotAsked)),
            ("", "enabled", On),
            ("", "ingress", On),
            ("ingress", "", On),
            ("enabled", "true", No(Off::Invalid)),
            ("yes", "enabled", No(Off::Invalid)),
        ];
        for (namespace, pod, expected) in table {
            let rules = Rules::of(&meta("shop", namespace, &[]));
            let pod_meta = meta("web", pod, &[]);
            let answer = injection(&rules, &pod_meta, &PodSpec::default());
            assert_eq!(answer, expected, "{namespace:?} {pod:?}");
        }
    }

    #[test]
    fn some_pods_are_never_injected_whatever_they_ask_for() {
        let spec = |json| serde_json::from_str::<PodSpec>(json).unwrap();
        let plain = PodSpec::default();
        let disabled = [(label::ADMISSION, "disabled")];
        let table = [
            (
                meta("kube-system", "", &[]),
                meta("p", "enabled", &[]),
                plain.clone(),
                Off::Namespace,
            ),
            (
                meta("cert-manager", "", &[]),
                meta("p", "enabled", &[]),
                plain.clone(),
                Off::Namespace,
            ),
            (
                meta("x", "", &disabled),
                meta("p", "enabled", &[]),
                plain.clone(),
                Off::Namespace,
            ),
            (
                meta("x", "enabled", &[]),
                meta("p", "", &[(label::COMPONENT, "identity")]),
                plain.clone(),
                Off::OwnParts,
            ),
            (
                meta("x", "enabled", &[]),
                meta("p", "", &[(label::CNI, "true")]),
                plain,
                Off::OwnParts,
            ),
            (
                meta("x", "enabled", &[]),
                meta("p", "", &[]),
                spec(r#"{"hostNetwork": true}"#),
                Off::HostNetwork,
            ),
            (
                meta("x", "enabled", &[]),
                meta("p", "", &[]),
                spec(r#"{"containers": [{"name": "istio-proxy"}]}"#),
                Off::Sidecar,
            ),
            (
                meta("x", "enabled", &[]),
                meta("p", "", &[]),
                spec(r#"{"initContainers": [{"name": "linkerd-proxy"}]}"#),
                Off::Sidecar,
            ),
            (
                meta("x", "enabled", &[]),
                meta("p", "", &[]),
                spec(r#"{"automountServiceAccountToken": false}"#),
                Off::NoToken,
            ),
        ];
        for (namespace, pod, spec, expected) in table {
            let answer = injection(&Rules::of(&namespace), &pod, &spec);
            assert_eq!(answer, Injection::Off(expected), "{namespace:?} {pod:?}");
        }
    }
}
