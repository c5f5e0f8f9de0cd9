//! Finds webhooks of others that would refuse the control plane's objects, because nobody answers for
//! them. The API server does not call each in a dry run, and does not say what is wrong with it.

use std::collections::BTreeMap;

use mesh_cluster::object::{ByteString, EndpointSlice, Namespace, Resource, Selector};
use mesh_cluster::{Cluster, Error, Selection, label};
use mesh_records::{Explained, Paste};
use serde::Deserialize;
use serde_json::Value;

/// The webhooks that may refuse something.
pub(crate) const KINDS: [Resource; 2] = [
    kind(
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
    ),
    kind(
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
    ),
];

const WRITTEN: &[&str] = &["CREATE", "UPDATE"];

const fn kind(plural: &'static str, kind: &'static str) -> Resource {
    Resource {
        group: "admissionregistration.k8s.io",
        version: "v1",
        plural,
        kind,
    }
}

type Labels = BTreeMap<String, String>;

/// An object that the upgrade writes, or that a controller creates for it.
#[derive(Debug)]
struct Subject {
    group: &'static str,
    plural: &'static str,
    /// What is done to it.
    operations: &'static [&'static str],
    labels: Labels,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Configuration {
    pub(crate) metadata: Named,
    pub(crate) webhooks: Vec<Hook>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Named {
    pub(crate) name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Hook {
    pub(crate) name: String,
    failure_policy: Option<String>,
    client_config: ClientConfig,
    namespace_selector: Selector,
    object_selector: Selector,
    match_conditions: Vec<Value>,
    rules: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClientConfig {
    service: Option<Service>,
    ca_bundle: Option<ByteString>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub(crate) struct Service {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    operations: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    scope: Option<String>,
}

/// The webhooks of others that nobody answers for.
#[derive(Debug, Default)]
pub(crate) struct Silent {
    /// What is said of each, by its name.
    pub(crate) found: Vec<(String, Explained)>,
    /// Why there may be more.
    pub(crate) unread: Option<Error>,
}

/// Finds the webhooks of others for the objects of the control plane in `namespace` whose Service has
/// no ready endpoint.
pub(crate) async fn silent(cluster: &Cluster, namespace: &str, deployments: &[&Value]) -> Silent {
    let mut silent = Silent::default();
    let subjects = subjects(deployments);
    if !subjects.is_empty()
        && let Err(error) = look(cluster, namespace, &subjects, &mut silent).await
    {
        silent.unread = Some(error);
    }
    silent
}

// Fails at once unless it is a right that is missing: then the others are looked at as well.
async fn look(
    cluster: &Cluster,
    namespace: &str,
    subjects: &[Subject],
    silent: &mut Silent,
) -> Result<(), Error> {
    let place: Namespace = cluster.get(None, namespace).await?;
    for resource in KINDS {
        let pages = cluster.pages_as::<Configuration>(resource, Selection::default());
        let Some(all) = silent
            .unless_forbidden(pages.all().await)
            .map_err(|error| *error)?
        else {
            continue;
        };
        for Configuration { metadata, webhooks } in all {
            for hook in webhooks {
                let Some(service) = hook.stands_in_the_way(namespace, &place.meta.labels, subjects)
                else {
                    continue;
                };
                if silent
                    .unless_forbidden(answers(cluster, service).await)
                    .map_err(|error| *error)?
                    == Some(false)
                {
                    let of = (resource, metadata.name.as_str());
                    let finding = finding(&cluster.paste(), of, &hook.name, service);
                    silent.found.push((hook.name.clone(), finding));
                }
            }
        }
    }
    Ok(())
}

async fn answers(cluster: &Cluster, service: &Service) -> Result<bool, Error> {
    let of = format!("{}={}", label::SERVICE, service.name);
    let selection = Selection {
        namespace: Some(&service.namespace),
        labels: Some(&of),
    };
    let slices = cluster.pages::<EndpointSlice>(selection).all().await?;
    // A Service of the type ExternalName has no slices, and nobody here knows whether it answers.
    Ok(slices.is_empty() || slices.iter().any(|slice| slice.ready() > 0))
}

fn finding(
    paste: &Paste,
    (of, name): (Resource, &str),
    hook: &str,
    service: &Service,
) -> Explained {
    let Service {
        namespace,
        name: to,
    } = service;
    Explained::new(
        format!(
            "the webhook {hook} ({} {name}) would refuse pods of the control plane: its failurePolicy \
             is Fail, and its Service {namespace}/{to} has no ready endpoint",
            of.kind
        ),
        format!(
            "let the Service have a ready pod (`{}`), or exclude the control plane's namespace from \
             the webhook",
            paste.kubectl(&[
                "-n",
                namespace,
                "get",
                "endpointslices",
                "-l",
                &format!("{}={to}", label::SERVICE)
            ])
        ),
    )
}

// The Deployments, and what the controllers create for them.
fn subjects(deployments: &[&Value]) -> Vec<Subject> {
    let labels = |body: &Value, pointer: &str| {
        let labels = body.pointer(pointer);
        let labels = labels.and_then(|it| Labels::deserialize(it).ok());
        // An object without labels has none.
        labels.unwrap_or_default()
    };
    let subjects = deployments.iter().flat_map(|body| {
        let own = labels(body, "/metadata/labels");
        let of_pods = labels(body, "/spec/template/metadata/labels");
        [
            ("apps", "deployments", WRITTEN, own),
            ("apps", "replicasets", WRITTEN, of_pods.clone()),
            // Nothing in an upgrade updates a pod.
            ("", "pods", &WRITTEN[..1], of_pods),
        ]
    });
    let subject = |(group, plural, operations, labels)| Subject {
        group,
        plural,
        operations,
        labels,
    };
    subjects.map(subject).collect()
}

// === impl Silent ===

impl Silent {
    fn unless_forbidden<T>(&mut self, read: Result<T, Error>) -> Result<Option<T>, Box<Error>> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.rule().is_some() => {
                self.unread = Some(error);
                Ok(None)
            }
            Err(error) => Err(Box::new(error)),
        }
    }
}

// === impl Hook ===

impl Hook {
    /// Returns the Service that it runs behind.
    pub(crate) fn service(&self) -> Option<&Service> {
        self.client_config.service.as_ref()
    }

    /// Returns the authorities that the API server trusts for it.
    pub(crate) fn ca_bundle(&self) -> Option<&ByteString> {
        self.client_config.ca_bundle.as_ref()
    }

    // Returns its Service if it is called for any of these, and if what is not answered is refused.
    // Conditions only the API server can evaluate. The control plane's own webhooks are upgraded.
    fn stands_in_the_way(
        &self,
        namespace: &str,
        labels: &Labels,
        subjects: &[Subject],
    ) -> Option<&Service> {
        let service = self.service()?;
        let refuses = self.failure_policy.as_deref() != Some("Ignore");
        let may_be_called =
            self.match_conditions.is_empty() && self.namespace_selector.selects(labels);
        let concerns = |it: &Subject| {
            self.object_selector.selects(&it.labels)
                && self.rules.iter().any(|rule| rule.is_for(it))
        };
        let is_others = service.namespace != namespace;
        let all = refuses && may_be_called && is_others && subjects.iter().any(concerns);
        all.then_some(service)
    }
}

// === impl Rule ===

impl Rule {
    fn is_for(&self, subject: &Subject) -> bool {
        let has = |all: &[String], one: &str| all.iter().any(|it| it == one || it == "*");
        let all = |resource: &String| {
            let (plural, sub) = resource.split_once('/').unwrap_or((resource, "*"));
            [subject.plural, "*"].contains(&plural) && sub == "*"
        };
        let mut operations = subject.operations.iter();
        // A subject is in a namespace.
        self.scope.as_deref() != Some("Cluster")
            && operations.any(|it| has(&self.operations, it))
            && has(&self.api_groups, subject.group)
            && self.resources.iter().any(all)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::render::manifests;

    #[test]
    fn a_webhook_stands_in_the_way_only_if_it_is_called_and_fails_closed() {
        let deployment = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, labels: {a: b}}, \
                          spec: {template: {metadata: {labels: {c: d}}}}}";
        let manifests = manifests(deployment).unwrap();
        let subjects = subjects(&[&manifests[0].body]);
        let labels = Labels::from([("team".to_owned(), "mesh".to_owned())]);
        let hook = |change: Value| {
            let mut hook = json!({
                "name": "h",
                "clientConfig": { "service": { "namespace": "policy", "name": "s" } },
                "rules": [{ "operations": ["CREATE"], "apiGroups": [""], "resources": ["pods"] }],
            });
            let fields = change.as_object().unwrap().clone();
            hook.as_object_mut().unwrap().extend(fields);
            serde_json::from_value::<Hook>(hook).unwrap()
        };
        let rule = |operation: &str, group: &str, resource: &str| json!({ "rules": [{ "operations": [operation], "apiGroups": [group], "resources": [resource] }] });
        let scoped = |scope: &str| json!({ "rules": [{ "operations": ["*"], "apiGroups": ["*"], "resources": ["*"], "scope": scope }] });
        let table = [
            (json!({}), true),
            (json!({ "failurePolicy": "Fail" }), true),
            (json!({ "failurePolicy": "Ignore" }), false),
            (
                json!({ "clientConfig": { "url": "https://a.test" } }),
                false,
            ),
            (
                json!({ "clientConfig": { "service": { "namespace": "linkerd", "name": "s" } } }),
                false,
            ),
            (json!({ "matchConditions": [{ "name": "c" }] }), false),
            (
                json!({ "namespaceSelector": { "matchLabels": { "team": "mesh" } } }),
                true,
            ),
            (
                json!({ "namespaceSelector": { "matchLabels": { "team": "shop" } } }),
                false,
            ),
            (
                json!({ "objectSelector": { "matchLabels": { "c": "d" } } }),
                true,
            ),
            (
                json!({ "objectSelector": { "matchLabels": { "a": "b" } } }),
                false,
            ),
            (rule("*", "*", "*"), true),
            (rule("UPDATE", "apps", "deployments"), true),
            (rule("CREATE", "apps", "replicasets"), true),
            (rule("UPDATE", "", "pods"), false),
            (rule("CREATE", "", "pods/*"), true),
            (rule("CREATE", "", "pods/status"), false),
            (rule("*", "*", "*/*"), true),
            (scoped("Cluster"), false),
            (scoped("Namespaced"), true),
            (rule("DELETE", "", "pods"), false),
            (rule("CREATE", "apps", "pods"), false),
            (rule("CREATE", "", "services"), false),
        ];
        for (number, (change, expected)) in table.into_iter().enumerate() {
            let hook = hook(change);
            let stands = hook.stands_in_the_way("linkerd", &labels, &subjects);
            assert_eq!(stands.is_some(), expected, "row {number}");
        }
    }
}
