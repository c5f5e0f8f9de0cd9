//! Whether the injector would give a pod a proxy: its own truth table, on slim objects.

use mesh_records::{Pin, PinPlace};

use crate::object::label;
use crate::object::{Meta, PodSpec};
use crate::workload::pin::asked_pin;

/// What a namespace says to the injector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    inject: Word,
    hidden: bool,
    pin: Option<Pin>,
}

/// Whether a new pod gets a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// It does.
    On,
    /// It does not.
    Off(Off),
}

/// Why a new pod gets no proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Off {
    /// Neither its namespace nor itself asks for one, or it declines.
    NotAsked,
    /// An annotation has a value that the injector does not know.
    Invalid,
    /// The webhook does not see its namespace.
    Namespace,
    /// The webhook does not see it, because it belongs to a control plane or the CNI plugin.
    OwnParts,
    /// It uses the node's network.
    HostNetwork,
    /// It has a proxy already, of whichever mesh.
    Sidecar,
    /// It does without a service account's token, which a proxy needs.
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

/// Namespaces that the injector's webhook leaves out by name.
const LEFT_OUT: [&str; 2] = ["kube-system", "cert-manager"];
/// Containers whose presence makes the injector stand back.
const SIDECARS: [&str; 4] = [label::PROXY, "linkerd-init", "istio-proxy", "istio-init"];

/// Whether the injector's webhook leaves out a namespace by its name.
pub fn is_left_out(namespace: &str) -> bool {
    LEFT_OUT.contains(&namespace)
}

/// Whether the injector would give a pod with this metadata and spec a proxy.
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
    /// What a namespace's labels and annotations say.
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

    /// The pin that the namespace puts on its proxies.
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
    fn the_pods_word_beats_its_namespaces_and_an_unknown_word_stops_both() {
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
