//! Decides whether the injector would give a pod a proxy, by the injector's own rules.
//!
//! The rules were measured with the injectors of seven releases; the fixture
//! `injector-truth.json` has what each of them did.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use mesh_records::{Pin, PinPlace};
use mesh_versions::{Minor, Releases, Version};

use crate::object::label;
use crate::object::{Container, Meta, PodSpec, Selector, SelectorExpression};
use crate::workload::pin::asked_pin;

/// What decides about injection besides the pod and its namespace: which pods the API server sends
/// to the injector, and what its release and its values make of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Injector {
    line: Minor,
    /// Whether a proxy gets a token of its own, so that a pod needs none.
    projects_tokens: bool,
    namespaces: Selector,
    objects: Selector,
}

/// A namespace's injection settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    inject: Word,
    labels: BTreeMap<String, String>,
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

/// What the annotation of a pod template asks the injector for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asks(Word);

/// Why a new pod gets no proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Off {
    /// Neither the namespace nor the pod asks for a proxy, or the pod declines it.
    NotAsked,
    /// An annotation has a value that the injector does not know.
    Invalid,
    /// The webhook excludes the namespace.
    Namespace,
    /// The webhook excludes the pod, such as one of a control plane or of the CNI plugin.
    Object,
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

/// Namespaces that the webhook excludes by name, since 2.12.
const LEFT_OUT: [&str; 2] = ["kube-system", "cert-manager"];
/// The label with a namespace's name, which every API server sets.
const NAME: &str = "kubernetes.io/metadata.name";

/// The names of containers, and the beginnings of their images, that make the injector skip a pod.
const PROXIES: ([&str; 2], [&str; 2]) = (
    [label::PROXY, "istio-proxy"],
    ["cr.l5d.io/linkerd/proxy:", "gcr.io/istio-release/proxyv2:"],
);
/// The same for init containers.
const INITS: ([&str; 2], [&str; 2]) = (
    ["linkerd-init", "istio-init"],
    [
        "cr.l5d.io/linkerd/proxy-init:",
        "gcr.io/istio-release/proxy_init:",
    ],
);

/// The last line whose webhook takes pods of `kube-system` and of control planes, and whose
/// injector wants every pod to mount a token.
const TAKES_ALL: Minor = Minor::new(11);
/// The last line whose injector does not look for a native sidecar.
const NO_NATIVE: Minor = Minor::new(14);

/// Returns true if the injector's webhook excludes a namespace by its name, since 2.12.
pub fn is_left_out(namespace: &str) -> bool {
    LEFT_OUT.contains(&namespace)
}

/// Decides whether the injector would give a proxy to a pod with this metadata and spec.
pub fn injection(injector: &Injector, rules: &Rules, pod: &Meta, spec: &PodSpec) -> Injection {
    let decided = injector.is_sent(rules, pod).and_then(|()| {
        asked(rules, Word::of(pod))?;
        injector.takes(pod, spec)
    });
    decided.map_or_else(Injection::Off, |()| Injection::On)
}

fn asked(rules: &Rules, pod: Word) -> Result<(), Off> {
    match (rules.inject, pod) {
        (Word::Invalid, _) | (_, Word::Invalid) => Err(Off::Invalid),
        (_, Word::Yes) | (Word::Yes, Word::Absent) => Ok(()),
        (_, Word::No) | (Word::Absent | Word::No, Word::Absent) => Err(Off::NotAsked),
    }
}

fn is_one_of(container: &Container, (names, images): ([&str; 2], [&str; 2])) -> bool {
    let image = |start: &&str| container.image.starts_with(*start);
    names.contains(&container.name.as_str()) || images.iter().any(image)
}

fn except(key: &str, values: &[&str]) -> SelectorExpression {
    let operator = if values.is_empty() {
        "DoesNotExist"
    } else {
        "NotIn"
    };
    SelectorExpression {
        key: key.to_owned(),
        operator: operator.to_owned(),
        values: values.iter().map(ToString::to_string).collect(),
    }
}

// === impl Injector ===

impl Injector {
    /// The injector of a release, with the values and the webhook of its chart. A version that is
    /// not known counts as the newest release.
    pub fn of_release(version: Option<&str>) -> Self {
        static RELEASES: LazyLock<Releases> = LazyLock::new(Releases::embedded);
        let version = version.map(Version::of_tag);
        let minor = version.and_then(|version| RELEASES.minor_of(&version));
        let line = minor.map_or(Minor::new(u32::MAX), |minor| minor.minor);
        let takes_all = line <= TAKES_ALL;
        let mut namespaces = vec![except(label::ADMISSION, &["disabled"])];
        let mut objects = Vec::new();
        if !takes_all {
            namespaces.push(except(NAME, &LEFT_OUT));
            objects.extend([except(label::COMPONENT, &[]), except(label::CNI, &[])]);
        }
        let selector = |match_expressions| Selector {
            match_expressions,
            ..Selector::default()
        };
        Self {
            line,
            projects_tokens: !takes_all,
            namespaces: selector(namespaces),
            objects: selector(objects),
        }
    }

    /// With the selectors of the webhook that is registered.
    #[must_use]
    pub fn with_selectors(self, namespaces: Selector, objects: Selector) -> Self {
        Self {
            namespaces,
            objects,
            ..self
        }
    }

    /// Without a token of its own for each proxy (`identity.serviceAccountTokenProjection: false`).
    #[must_use]
    pub fn without_projected_tokens(self) -> Self {
        Self {
            projects_tokens: false,
            ..self
        }
    }

    /// Decides whether the API server sends a pod with this metadata to the injector.
    ///
    /// # Errors
    /// The webhook excludes the namespace or the pod.
    pub fn is_sent(&self, rules: &Rules, pod: &Meta) -> Result<(), Off> {
        if !self.namespaces.selects(&rules.labels) {
            Err(Off::Namespace)
        } else if !self.objects.selects(&pod.labels) {
            Err(Off::Object)
        } else {
            Ok(())
        }
    }

    fn takes(&self, pod: &Meta, spec: &PodSpec) -> Result<(), Off> {
        let mounts_no_token = spec.automount_service_account_token == Some(false);
        // The kubelet's own pods mount no token either, and the API server refuses one to which the
        // injector added a projected token.
        let is_mirror = pod.annotations.contains_key(label::MIRROR);
        let init = |it: &Container| {
            is_one_of(it, INITS) || self.line > NO_NATIVE && is_one_of(it, PROXIES)
        };
        let mut containers = spec.containers.iter();
        if spec.host_network {
            Err(Off::HostNetwork)
        } else if containers.any(|it| is_one_of(it, PROXIES))
            || spec.init_containers.iter().any(init)
        {
            Err(Off::Sidecar)
        } else if is_mirror || mounts_no_token && !self.projects_tokens {
            Err(Off::NoToken)
        } else {
            Ok(())
        }
    }
}

impl Default for Injector {
    fn default() -> Self {
        Self::of_release(None)
    }
}

// === impl Rules ===

impl Rules {
    /// Reads the settings from a namespace's labels and annotations.
    pub fn of(namespace: &Meta) -> Self {
        let mut labels = namespace.labels.clone();
        labels
            .entry(NAME.to_owned())
            .or_insert_with(|| namespace.name.clone());
        Self {
            inject: Word::of(namespace),
            labels,
            pin: asked_pin(namespace, PinPlace::Namespace),
        }
    }

    /// Returns true if a pod of a template that asks for this is declined in the namespace.
    pub fn declines(&self, template: Asks) -> bool {
        asked(self, template.0).is_err()
    }

    /// Returns true if somebody asked for a proxy for a pod with this metadata, also with a word that
    /// the injector does not know, or with a label, which it does not read. What the pod or else the
    /// namespace declines is not asked for.
    pub fn is_asked(&self, pod: &Meta) -> bool {
        let by_label = |labels: &BTreeMap<String, String>| {
            labels
                .get(label::INJECT)
                .is_some_and(|it| Word::of_text(it) == Word::Yes)
        };
        match (Word::of(pod), self.inject) {
            (Word::Yes | Word::Invalid, _) | (Word::Absent, Word::Yes | Word::Invalid) => true,
            (Word::No, _) => false,
            (Word::Absent, Word::Absent) => by_label(&pod.labels) || by_label(&self.labels),
            (Word::Absent, Word::No) => by_label(&pod.labels),
        }
    }

    /// Returns the namespace's pin of its proxies.
    pub fn pin(&self) -> Option<&Pin> {
        self.pin.as_ref()
    }
}

// === impl Asks ===

impl Asks {
    /// Reads what a pod template asks for.
    pub fn of(template: &Meta) -> Self {
        Self(Word::of(template))
    }

    /// Returns true if it asks for a proxy and says nothing else.
    pub fn is_yes(self) -> bool {
        self.0 == Word::Yes
    }
}

// === impl Word ===

impl Word {
    fn of(meta: &Meta) -> Self {
        let text = meta.annotations.get(label::INJECT);
        text.map_or(Self::Absent, |text| Self::of_text(text))
    }

    fn of_text(text: &str) -> Self {
        match text {
            "" => Self::Absent,
            "enabled" | "ingress" => Self::Yes,
            "disabled" => Self::No,
            _ => Self::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::object::{Namespace, Pod};

    #[test]
    fn what_is_asked_for_in_a_place_or_a_word_that_is_not_read_is_asked_for() {
        let meta = |annotation: Option<&str>, label: Option<&str>| {
            let one = |text: Option<&str>| {
                let text = text.map(|it| (label::INJECT.to_owned(), it.to_owned()));
                text.into_iter().collect::<BTreeMap<_, _>>()
            };
            Meta {
                annotations: one(annotation),
                labels: one(label),
                ..Meta::default()
            }
        };
        let (yes, no, odd) = (Some("enabled"), Some("disabled"), Some("true"));
        // the pod's annotation and label, the namespace's annotation and label
        let table = [
            ((yes, None), (None, None), true),
            ((odd, None), (None, None), true),
            ((None, yes), (None, None), true),
            ((None, yes), (no, None), true),
            ((None, None), (yes, None), true),
            ((None, None), (None, yes), true),
            ((Some(""), None), (yes, None), true),
            ((no, yes), (yes, yes), false),
            ((None, None), (no, yes), false),
            ((None, odd), (None, no), false),
            ((None, None), (None, None), false),
        ];
        for (pod, namespace, expected) in table {
            let rules = Rules::of(&meta(namespace.0, namespace.1));
            let asked = rules.is_asked(&meta(pod.0, pod.1));
            assert_eq!(asked, expected, "{pod:?} {namespace:?}");
        }
    }

    /// What the injectors of seven releases made of pods that a real API server sent them.
    #[derive(Deserialize)]
    struct Truth {
        namespaces: Vec<Namespace>,
        linkerd_namespace: BTreeMap<String, Namespace>,
        webhook: BTreeMap<String, Webhook>,
        pods: Vec<Row>,
        variants: BTreeMap<String, BTreeMap<String, BTreeMap<String, CameBack>>>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Webhook {
        namespace_selector: Selector,
        object_selector: Selector,
    }

    #[derive(Deserialize)]
    struct Row {
        pod: Pod,
        came_back: BTreeMap<String, CameBack>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    enum CameBack {
        Injected {
            #[serde(rename = "in")]
            _within: String,
            tag: String,
        },
        Not {
            #[serde(rename = "not")]
            why: String,
        },
        // By the API server: nothing can be said of the injector.
        Refused {
            #[serde(rename = "refused")]
            _why: String,
        },
    }

    fn truth() -> Truth {
        serde_json::from_str(include_str!(
            "../../../../tests/fixtures/injector-truth.json"
        ))
        .unwrap()
    }

    fn rules_of(truth: &Truth, release: &str, namespace: &str) -> Rules {
        let mut all = truth.namespaces.iter();
        let found = all.find(|it| it.meta.name == namespace);
        Rules::of(&found.unwrap_or(&truth.linkerd_namespace[release]).meta)
    }

    fn check(injector: &Injector, rules: &Rules, pod: &Pod, came_back: &CameBack, what: &str) {
        let answer = injection(injector, rules, &pod.meta, &pod.spec);
        match came_back {
            CameBack::Injected { .. } => assert_eq!(answer, Injection::On, "{what}"),
            CameBack::Not { why } => assert_ne!(answer, Injection::On, "{what}: {why}"),
            CameBack::Refused { .. } => {}
        }
    }

    #[test]
    fn the_answer_is_what_the_injectors_of_seven_releases_did() {
        let truth = truth();
        let mut rows = 0;
        for Row { pod, came_back } in &truth.pods {
            for (release, came_back) in came_back {
                let rules = rules_of(&truth, release, &pod.meta.namespace);
                let what = format!("{release} {}/{}", pod.meta.namespace, pod.meta.name);
                let injector = Injector::of_release(Some(release));
                check(&injector, &rules, pod, came_back, &what);
                let webhook = &truth.webhook[release];
                let read = injector.with_selectors(
                    webhook.namespace_selector.clone(),
                    webhook.object_selector.clone(),
                );
                check(&read, &rules, pod, came_back, &what);
                rows += 1;
            }
        }
        assert_eq!(rows, 7 * 156);
    }

    #[test]
    fn without_projected_tokens_a_pod_must_mount_its_own() {
        let truth = truth();
        let variant = &truth.variants["identity.serviceAccountTokenProjection=false"];
        for (release, changed) in variant {
            let injector = Injector::of_release(Some(release)).without_projected_tokens();
            for Row { pod, came_back } in &truth.pods {
                let name = format!("{}/{}", pod.meta.namespace, pod.meta.name);
                let rules = rules_of(&truth, release, &pod.meta.namespace);
                let came_back = changed.get(&name).unwrap_or(&came_back[release]);
                check(
                    &injector,
                    &rules,
                    pod,
                    came_back,
                    &format!("{release} {name}"),
                );
            }
        }
    }

    #[test]
    fn a_pin_of_the_pod_or_else_of_the_namespace_is_the_tag() {
        let truth = truth();
        for Row { pod, came_back } in &truth.pods {
            for (release, came_back) in came_back {
                // An image with a tag of its own gets a second one: no registry has it.
                let CameBack::Injected { tag, .. } = came_back else {
                    continue;
                };
                if pod.meta.name == "image-tagged" {
                    continue;
                }
                let rules = rules_of(&truth, release, &pod.meta.namespace);
                let own = asked_pin(&pod.meta, PinPlace::Template);
                let pin = own.and_then(|pin| pin.version);
                let pin = pin.or_else(|| rules.pin().and_then(|pin| pin.version.clone()));
                let expected = pin.as_deref().unwrap_or(release);
                assert_eq!(tag, expected, "{release} {}", pod.meta.name);
            }
        }
    }

    #[test]
    fn a_pod_of_a_kubelets_own_file_never_gets_a_proxy() {
        let truth = truth();
        let mut rows = truth.pods.iter();
        let row = rows.find(|it| it.pod.meta.annotations.contains_key(label::MIRROR));
        let Row { pod, came_back } = row.unwrap();
        for (release, came_back) in came_back {
            let rules = rules_of(&truth, release, &pod.meta.namespace);
            let injector = Injector::of_release(Some(release));
            let answer = injection(&injector, &rules, &pod.meta, &pod.spec);
            assert_eq!(answer, Injection::Off(Off::NoToken), "{came_back:?}");
        }
    }

    #[test]
    fn an_unknown_release_has_the_newest_rules() {
        assert_eq!(
            Injector::of_release(Some("dev-undefined")).namespaces,
            Injector::of_release(Some("edge-26.6.3")).namespaces
        );
    }
}
