//! The objects of a dump.

mod ending;
mod surveyed;

use std::collections::{BTreeSet, HashSet};

use mesh_cluster::control_plane::origin::OPERATED;
use mesh_cluster::object::{
    Bare, ConfigMap, DaemonSet, Deployment, EndpointSlice, Namespace, NetworkPolicy, Object as _,
    Pod, StatefulSet,
};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use serde_json::value::RawValue;

use ending::{Open, check_document, check_text, is_marked};

use crate::plane::parts::{Definition, EXTERNAL, SPLITS, WebhookConfiguration};

/// The objects of a dump.
#[derive(Debug, Default)]
pub(crate) struct Dump {
    kinds: BTreeSet<String>,
    /// The objects so far, each by its uid: an object of two files counts once.
    known: HashSet<String>,
    kubernetes: Option<String>,
    /// The resources of Buoyant's operator.
    operated: usize,
    external_workloads: usize,
    traffic_splits: usize,
    policies: Vec<NetworkPolicy>,
    nodes: Vec<Bare>,
    namespaces: Vec<Namespace>,
    config_maps: Vec<ConfigMap>,
    deployments: Vec<Deployment>,
    stateful_sets: Vec<StatefulSet>,
    daemon_sets: Vec<DaemonSet>,
    replica_sets: Vec<Bare>,
    jobs: Vec<Bare>,
    controllers: Vec<Bare>,
    pods: Vec<Pod>,
    slices: Vec<EndpointSlice>,
    webhooks: Vec<WebhookConfiguration>,
    definitions: Vec<Definition>,
}

/// Why a dump cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DumpError {
    /// The text is not JSON, or an object does not have the form of its kind.
    #[error("this is not the JSON that kubectl prints with `-o json`")]
    Json(#[source] serde_json::Error),
    /// The text ends in the middle of an object.
    #[error("it ends in the middle of an object, in line {0}: it was cut off")]
    Broken(usize),
    /// The text is neither JSON nor YAML.
    #[error("this is not the JSON or YAML that kubectl prints with `-o json` or `-o yaml`")]
    Yaml(#[from] serde_norway::Error),
    /// The JSON is not a Kubernetes object; it may be a survey's record.
    #[error("this is not a Kubernetes object: it has no metadata")]
    NoObject,
    /// The list has no kind, which kubectl writes after the items in YAML.
    #[error("this list has no kind: it may be cut off")]
    Cut,
    /// YAML text has no end.
    #[error(transparent)]
    Open(#[from] Open),
    /// The object has no name.
    #[error("a {0} has no name: it may be cut off")]
    Nameless(String),
    /// The list is only one page of a longer list.
    #[error("this is one page of a longer list (metadata.continue)")]
    Page,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default, borrow)]
    metadata: Option<&'a RawValue>,
    #[serde(default, borrow)]
    items: Option<Vec<&'a RawValue>>,
    /// The output of `kubectl version` has it, and no kind.
    #[serde(default)]
    server_version: Option<ServerVersion>,
    #[serde(default)]
    client_version: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerVersion {
    git_version: String,
}

/// What tells one object from another.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Identity {
    uid: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListMeta {
    #[serde(rename = "continue")]
    token: String,
}

impl From<serde_json::Error> for DumpError {
    fn from(error: serde_json::Error) -> Self {
        match error.is_eof() {
            true => Self::Broken(error.line()),
            false => Self::Json(error),
        }
    }
}

// === impl Dump ===

impl Dump {
    /// Adds a file: objects and lists of objects, one after another. Kinds that a survey does not
    /// read are skipped, such as Secrets.
    ///
    /// # Errors
    /// A part of the file cannot be read. The dump must then not be used.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), DumpError> {
        let text = text.trim_start_matches('\u{feff}').trim_start();
        if text.is_empty() {
            return Ok(());
        }
        if text.starts_with('{') {
            for document in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
                self.document(document?)?;
            }
            return Ok(());
        }
        let mut documents = serde_norway::Deserializer::from_str(text).peekable();
        while let Some(document) = documents.next() {
            let document = Value::deserialize(document)?;
            // `---` with nothing after it.
            if document.is_null() {
                continue;
            }
            if documents.peek().is_none() && !is_marked(text) {
                check_document(&document, text)?;
            }
            self.document(&serde_json::value::to_raw_value(&document)?)?;
        }
        // After the errors that name an object.
        Ok(check_text(text)?)
    }

    fn document(&mut self, raw: &RawValue) -> Result<(), DumpError> {
        let Document {
            api_version,
            kind,
            metadata,
            items,
            server_version,
            client_version,
        } = serde_json::from_str(raw.get())?;
        if kind.is_empty() && (server_version.is_some() || client_version.is_some()) {
            self.kubernetes = server_version
                .map(|it| it.git_version)
                .or(self.kubernetes.take());
            return Ok(());
        }
        let Some(items) = items else {
            let metadata = metadata.ok_or(DumpError::NoObject)?;
            return self.object(&kind, &api_version, metadata, raw);
        };
        if kind.is_empty() {
            return Err(DumpError::Cut);
        }
        let meta = metadata
            .map(|meta| serde_json::from_str::<ListMeta>(meta.get()))
            .transpose()?;
        if meta.is_some_and(|meta| !meta.token.is_empty()) {
            return Err(DumpError::Page);
        }
        // The items of a `PodList` have no `kind`; those of a `List` have one.
        let of_all = kind.strip_suffix("List").unwrap_or_default();
        if !of_all.is_empty() {
            self.kinds.insert(of_all.to_owned());
        }
        for item in items {
            let own: Document<'_> = serde_json::from_str(item.get())?;
            let kind = if own.kind.is_empty() {
                of_all
            } else {
                &own.kind
            };
            let metadata = own.metadata.ok_or(DumpError::NoObject)?;
            self.object(kind, &own.api_version, metadata, item)?;
        }
        Ok(())
    }

    fn object(
        &mut self,
        kind: &str,
        api_version: &str,
        metadata: &RawValue,
        raw: &RawValue,
    ) -> Result<(), DumpError> {
        // Other groups have kinds of the same name, such as the StatefulSet of OpenKruise.
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        if group_of(kind).is_some_and(|own| !api_version.is_empty() && own != group) {
            return Ok(());
        }
        let Identity {
            uid,
            namespace,
            name,
        } = serde_json::from_str(metadata.get())?;
        if name.is_empty() {
            return Err(DumpError::Nameless(kind.to_owned()));
        }
        let key = match uid.is_empty() {
            true => format!("{kind}/{namespace}/{name}"),
            false => uid,
        };
        if !self.known.insert(key) {
            return Ok(());
        }
        match kind {
            "Namespace" => push(&mut self.namespaces, raw)?,
            "ConfigMap" => push(&mut self.config_maps, raw)?,
            "Deployment" => push(&mut self.deployments, raw)?,
            "StatefulSet" => push(&mut self.stateful_sets, raw)?,
            "DaemonSet" => push(&mut self.daemon_sets, raw)?,
            "ReplicaSet" => push(&mut self.replica_sets, raw)?,
            "Job" => push(&mut self.jobs, raw)?,
            "ReplicationController" => push(&mut self.controllers, raw)?,
            "Pod" => push(&mut self.pods, raw)?,
            "EndpointSlice" => push(&mut self.slices, raw)?,
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
                push(&mut self.webhooks, raw)?;
            }
            "CustomResourceDefinition" => push(&mut self.definitions, raw)?,
            "ControlPlane" => self.operated += 1,
            "ExternalWorkload" => self.external_workloads += 1,
            "TrafficSplit" => self.traffic_splits += 1,
            "NetworkPolicy" => push(&mut self.policies, raw)?,
            "Node" => push(&mut self.nodes, raw)?,
            _ => {}
        }
        self.kinds.insert(kind.to_owned());
        Ok(())
    }

    /// Returns the uid of the cluster that the dump was taken from, if the dump has it.
    pub(crate) fn cluster_uid(&self) -> Option<&str> {
        let system = self
            .namespaces
            .iter()
            .find(|it| it.meta.name == "kube-system");
        system
            .map(|namespace| namespace.meta.uid.as_str())
            .filter(|uid| !uid.is_empty())
    }
}

// The API group of a kind that is read.
fn group_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "Namespace" | "ConfigMap" | "Pod" | "Node" | "ReplicationController" => "",
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => "apps",
        "Job" => "batch",
        "EndpointSlice" => "discovery.k8s.io",
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
            "admissionregistration.k8s.io"
        }
        "CustomResourceDefinition" => "apiextensions.k8s.io",
        "ControlPlane" => OPERATED.group,
        "ExternalWorkload" => EXTERNAL.group,
        "TrafficSplit" => SPLITS.group,
        "NetworkPolicy" => NetworkPolicy::RESOURCE.group,
        _ => return None,
    })
}

fn push<T: DeserializeOwned>(objects: &mut Vec<T>, raw: &RawValue) -> Result<(), DumpError> {
    objects.push(serde_json::from_str(raw.get())?);
    Ok(())
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Wish;

    pub(super) const CLUSTER: &str = r#"{"kind": "List", "metadata": {"resourceVersion": ""}, "items": [
        {"kind": "Namespace", "metadata": {"name": "kube-system", "uid": "u-cluster"}},
        {"kind": "Namespace", "metadata": {"name": "shop", "annotations": {"linkerd.io/inject": "enabled"}}},
        {"kind": "ConfigMap", "metadata": {"name": "linkerd-config", "namespace": "linkerd"}, "data": {"values": "linkerdVersion: stable-2.13.7"}},
        {"kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "uid": "u-web"}, "spec": {"replicas": 1}},
        {"kind": "Secret", "metadata": {"name": "s"}, "data": {"key": "!"}}
    ]}"#;
    pub(super) const PODS: &str = r#"{"kind": "PodList", "metadata": {}, "items": [
        {"metadata": {"name": "web-a-1", "namespace": "shop", "uid": "p", "labels": {"pod-template-hash": "a"},
          "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-a", "uid": "rs", "controller": true}]},
         "spec": {"containers": [{"name": "web"}]}, "status": {"phase": "Running"}}
    ]}"#;

    fn dump(texts: &[&str]) -> Dump {
        let mut dump = Dump::default();
        texts.iter().for_each(|text| dump.add(text).unwrap());
        dump
    }

    fn wish() -> Wish {
        Wish {
            linkerd_namespace: "linkerd".to_owned(),
            ..Wish::default()
        }
    }

    #[test]
    fn a_dump_is_surveyed_as_its_cluster_would_be() {
        let dump = dump(&[CLUSTER, PODS]);
        assert_eq!(dump.cluster_uid(), Some("u-cluster"));
        let (survey, missing) = dump.survey("c", wish());
        assert!(missing.is_empty(), "{missing:?}");
        assert_eq!(
            survey.control_planes[0].version.as_deref(),
            Some("stable-2.13.7")
        );
        let [(identity, uid, group)] = &survey.folded.groups[..] else {
            panic!("{survey:?}")
        };
        assert_eq!((identity.name.as_str(), uid.as_str()), ("web", "u-web"));
        assert!(group.is_workload(), "injection is on and it has no proxy");
    }

    #[test]
    fn survey_of_a_dump_returns_the_kinds_that_it_lacks() {
        let without = |kind: &str| CLUSTER.replace(&format!("\"{kind}\""), "\"Other\"");
        let stateful = PODS.replace("\"ReplicaSet\"", "\"StatefulSet\"");
        let table = [
            (vec![CLUSTER.to_owned()], vec!["Pod"]),
            (
                vec![PODS.to_owned(), without("Deployment")],
                vec!["Deployment", "ReplicaSet"],
            ),
            (
                vec![PODS.to_owned(), without("Namespace")],
                vec!["Namespace"],
            ),
            (vec![stateful, CLUSTER.to_owned()], vec!["StatefulSet"]),
            (vec![], vec!["ConfigMap", "Deployment", "Namespace", "Pod"]),
        ];
        for (texts, expected) in table {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let (_, missing) = dump(&texts).survey("c", wish());
            assert_eq!(missing, expected);
        }
    }

    #[test]
    fn a_dump_that_is_cut_off_is_refused() {
        let page = PODS.replace("\"metadata\": {}", "\"metadata\": {\"continue\": \"more\"}");
        assert!(matches!(Dump::default().add(&page), Err(DumpError::Page)));
        let record = r#"{"type": "workload", "kind": "Deployment", "name": "web"}"#;
        let added = Dump::default().add(record);
        assert!(matches!(added, Err(DumpError::NoObject)), "{added:?}");
        let cut = Dump::default().add(&CLUSTER[..CLUSTER.len() - 9]);
        assert_eq!(
            cut.unwrap_err().to_string(),
            "it ends in the middle of an object, in line 6: it was cut off"
        );
        for text in [
            "NAME READY",
            "NAME   READY\nweb-1  1/1\n",
            "kind: [",
            "- kind: Pod",
            r#"{"kind": "Pod", "metadata": {}, "spec": 1}"#,
            r#"{"kind": "List", "items": [{"kind": "Pod"}]}"#,
            "items:\n- kind: Pod\n  metadata: {name: a}\n",
        ] {
            assert!(Dump::default().add(text).is_err(), "{text}");
        }
    }

    fn yaml(text: &str) -> String {
        let value: Value = serde_json::from_str(text).unwrap();
        serde_norway::to_string(&value).unwrap()
    }

    // One document an object, as `kubectl get -o yaml` prints it, each with the end of such an object.
    fn documents() -> String {
        let pods: Value = serde_json::from_str(PODS).unwrap();
        let cluster: Value = serde_json::from_str(CLUSTER).unwrap();
        let lists = [("", cluster), ("Pod", pods)];
        let items = lists.iter().flat_map(|(kind, list)| {
            let items = list["items"].as_array().unwrap();
            items.iter().map(move |it| (*kind, it.clone()))
        });
        let text = items.map(|(kind, mut item)| {
            if !kind.is_empty() {
                item["kind"] = kind.into();
            }
            if matches!(item["kind"].as_str(), Some("Namespace" | "Deployment")) {
                item["status"] = serde_json::json!({});
            }
            format!("---\n{}", serde_norway::to_string(&item).unwrap())
        });
        text.collect()
    }

    // What a reader of the survey sees of a text: that it is refused, or lacks kinds, or the objects.
    fn seen(text: &str) -> Result<(Vec<String>, String), String> {
        let mut dump = Dump::default();
        dump.add(text).map_err(|error| error.to_string())?;
        let (survey, missing) = dump.survey("c", wish());
        Ok((missing, format!("{:?}", survey.folded.groups)))
    }

    #[test]
    fn yaml_that_is_cut_anywhere_within_an_object_is_never_whole() {
        let list = yaml(PODS);
        for at in 1..list.len() {
            let cut = seen(&list[..at]);
            assert!(cut.is_err(), "{at}: {cut:?}");
        }
        let text = documents();
        let (missing, _) = seen(&text).unwrap();
        assert!(missing.is_empty(), "{missing:?}");
        let last = text.rfind("---\n").unwrap();
        // Within the status of the last object, what is lost makes it look less ready, never more.
        let status = text.rfind("status:").unwrap() + "status:\n".len();
        for at in last + 5..status {
            let cut = seen(&text[..at]);
            assert!(cut.is_err(), "{at}: {cut:?}");
        }
        // The text before it lacks the kind of pods.
        for at in [last, last + 4] {
            assert_eq!(seen(&text[..at]).unwrap().0, ["Pod"]);
        }
    }

    #[test]
    fn whole_yaml_of_any_form_is_read() {
        let text = documents();
        let expected = seen(&text).unwrap();
        let (first, rest) = text["---\n".len()..].split_once("---\n").unwrap();
        let forms = [
            format!("{text}---\n"),
            format!("{text}---"),
            format!("{text}..."),
            format!("{text}# the end\n"),
            text.replace('\n', "\r\n"),
            format!("{first}...\n---\n{rest}"),
        ];
        for form in forms {
            assert_eq!(seen(&form).as_ref(), Ok(&expected), "{form}");
        }
        for (text, why) in [
            (
                "kind: Pod\nmetadata: {name: a}\nstatus: {phase: Running}",
                "line 3, has no line break",
            ),
            ("kind: Pod\nmetadata:\n  name: a\n", "a Pod, has no status"),
            (
                "kind: Pod\nmetadata:\n  name: a\nstatus:\n",
                "a Pod, has no status",
            ),
            (
                "kind: Pod\nmetadata:\n  labels: {}\nstatus: {phase: Running}\n",
                "a Pod has no name",
            ),
            (
                "kind: List\nmetadata: {}\nitems:\n- kind: Pod\n  metadata:\n    name: a\n",
                "a Pod, has no status",
            ),
            (
                "kind: PodList\nmetadata: {}\nitems:\n  - metadata:\n      name: a\n",
                "a Pod, has no status",
            ),
            (
                "kind: List\nitems: []\nmetadata:\n",
                "a List, has no metadata",
            ),
            (
                "kind: MutatingWebhookConfiguration\nmetadata: {name: a}\nwebhooks:\n- name: a\n",
                "has no timeoutSeconds",
            ),
        ] {
            let said = seen(text).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    fn listed(texts: &[&str]) -> (u32, Option<String>) {
        let (survey, _) = dump(texts).survey("c", wish());
        let plane = &survey.control_planes[0];
        (survey.folded.census.listed, plane.kubernetes.clone())
    }

    #[test]
    fn json_yaml_and_any_number_of_files_are_the_same_dump() {
        let (cluster, pods) = (yaml(CLUSTER), yaml(PODS));
        let both = format!("---\n{cluster}---\n{pods}---\n");
        let other = PODS.replace("\"uid\": \"p\"", "\"uid\": \"q\"");
        let nameless = PODS.replace("\"uid\": \"p\", ", "");
        let version = r#"{"clientVersion": {"gitVersion": "v1.34.2"}, "serverVersion": {"gitVersion": "v1.27.3"}}"#;
        let client = r#"{"clientVersion": {"gitVersion": "v1.34.2"}}"#;
        let marked = format!("\u{feff}\n{CLUSTER}");
        let found = Some("v1.27.3".to_owned());
        let table: [(&[&str], u32, Option<String>); 10] = [
            (&[CLUSTER, PODS], 1, None),
            (&[&marked, PODS], 1, None),
            (&[&cluster, &pods], 1, None),
            (&[&both], 1, None),
            (&[CLUSTER, PODS, PODS, &pods], 1, None),
            (&[CLUSTER, PODS, &other], 2, None),
            (&[CLUSTER, &nameless, &nameless], 1, None),
            (
                &[
                    CLUSTER,
                    &pods.replace(
                        "name: web\n",
                        "name: web\n      env:\n      - name: A\n        value:\n",
                    ),
                ],
                1,
                None,
            ),
            (&[CLUSTER, version, PODS, client], 1, found.clone()),
            (&[CLUSTER, &yaml(version)], 0, found),
        ];
        for (number, (texts, pods, kubernetes)) in table.into_iter().enumerate() {
            assert_eq!(listed(texts), (pods, kubernetes), "row {number}");
        }
    }
}
