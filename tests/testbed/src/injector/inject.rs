//! Decides whether a pod gets a proxy, and makes the patch.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::values::{NAMESPACE, Values};

const INJECT: &str = "linkerd.io/inject";
const CONFIG: &str = "config.linkerd.io/";
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The names of one annotation, newest first, each with the X of the first 2.X that knows it.
const NATIVE: [(&str, u32); 3] = [
    ("config.linkerd.io/proxy-enable-native-sidecar", 20),
    (BETA, 19),
    ("config.alpha.linkerd.io/proxy-enable-native-sidecar", 15),
];
/// No namespace passes this one on to its pods.
const BETA: &str = "config.beta.linkerd.io/proxy-enable-native-sidecar";
/// The names of containers, and the beginnings of their images, that are a proxy.
const PROXIES: ([&str; 2], [&str; 2]) = (
    ["linkerd-proxy", "istio-proxy"],
    ["cr.l5d.io/linkerd/proxy:", "gcr.io/istio-release/proxyv2:"],
);
/// The same for the init containers that prepare a proxy's pod.
const INITS: ([&str; 2], [&str; 2]) = (
    ["linkerd-init", "istio-init"],
    [
        "cr.l5d.io/linkerd/proxy-init:",
        "gcr.io/istio-release/proxy_init:",
    ],
);
/// The X of the first 2.X that looks for a native sidecar.
const LOOKS_FOR_NATIVE: u32 = 15;
/// What the injector knows about the mesh.
#[derive(Clone, Debug)]
pub(super) struct Mesh {
    pub(super) values: Values,
    pub(super) trust_roots: String,
    /// The injector's own version.
    pub(super) version: String,
}

/// The owner of a pod, for kinds that get a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Lower-case, such as `deployment`.
    pub(super) kind: &'static str,
    pub(super) name: String,
}

/// Why a pod is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    HostNetwork,
    SidecarExists,
    NoServiceAccountToken,
    InvalidAnnotationOfNamespace,
    InvalidAnnotationOfPod,
    NotEnabled,
    Disabled,
}

/// A pod that is being created, with its namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) pod: &'a Value,
    pub(super) namespace: &'a str,
    pub(super) namespace_annotations: &'a Map<String, Value>,
    pub(super) owner: Option<&'a Owner>,
}

/// Returns the JSON patch that injects the pod, or why there is none.
pub(super) fn inject(request: &Request<'_>, mesh: &Mesh) -> Result<Value, Skip> {
    decide(request, &mesh.values)?;
    Ok(patch(request, mesh))
}

fn decide(request: &Request<'_>, values: &Values) -> Result<(), Skip> {
    let spec = &request.pod["spec"];
    if spec["hostNetwork"] == true {
        return Err(Skip::HostNetwork);
    }
    let is_init = |it: &Value| {
        let looks = values.minor() >= LOOKS_FOR_NATIVE;
        is_one_of(it, INITS) || looks && is_one_of(it, PROXIES)
    };
    if containers(spec, "initContainers").any(is_init)
        || containers(spec, "containers").any(|it| is_one_of(it, PROXIES))
    {
        return Err(Skip::SidecarExists);
    }
    // The kubelet's own pods mount no token either.
    let is_mirror = !request.pod["metadata"]["annotations"][MIRROR].is_null();
    let mounts_none = spec["automountServiceAccountToken"] == false || is_mirror;
    if mounts_none && !values.projects_tokens() {
        return Err(Skip::NoServiceAccountToken);
    }
    let of_namespace = asked(request.namespace_annotations.get(INJECT))
        .ok_or(Skip::InvalidAnnotationOfNamespace)?;
    let of_pod = asked(request.pod["metadata"]["annotations"].get(INJECT))
        .ok_or(Skip::InvalidAnnotationOfPod)?;
    match (of_pod, of_namespace) {
        (Asked::Yes, _) | (Asked::Nothing, Asked::Yes) => Ok(()),
        (Asked::No, _) => Err(Skip::Disabled),
        (Asked::Nothing, Asked::No | Asked::Nothing) => Err(Skip::NotEnabled),
    }
}

enum Asked {
    Yes,
    No,
    Nothing,
}

/// Returns `None` for a value that the injector does not know.
fn asked(annotation: Option<&Value>) -> Option<Asked> {
    match annotation.and_then(Value::as_str) {
        None | Some("") => Some(Asked::Nothing),
        Some("enabled" | "ingress") => Some(Asked::Yes),
        Some("disabled") => Some(Asked::No),
        Some(_) => None,
    }
}

fn containers<'a>(spec: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    spec[list].as_array().into_iter().flatten()
}

fn is_one_of(container: &Value, (names, images): ([&str; 2], [&str; 2])) -> bool {
    let text = |key: &str| container[key].as_str().unwrap_or_default();
    let (name, image) = (text("name"), text("image"));
    names.contains(&name) || images.iter().any(|start| image.starts_with(start))
}

fn patch(request: &Request<'_>, mesh: &Mesh) -> Value {
    let (metadata, spec) = (&request.pod["metadata"], &request.pod["spec"]);
    let annotations = merged_annotations(request, metadata);
    let setting = |key: &str| {
        let text = annotations.get(key).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    };
    let values = &mesh.values;
    let tag = setting("config.linkerd.io/proxy-version")
        .map_or_else(|| values.proxy_tag(), str::to_owned);
    let image = setting("config.linkerd.io/proxy-image").unwrap_or(values.proxy_image());
    let known = NATIVE.iter().filter(|(_, since)| values.minor() >= *since);
    let native = values.is_native(known.map(|(key, _)| *key).find_map(setting));
    let proxy = proxy_container(
        &format!("{image}:{tag}"),
        native,
        values.awaits_proxy(),
        &mesh.trust_roots,
    );
    let (mut init, mut own) = (list(spec, "initContainers"), list(spec, "containers"));
    init.insert(0, values.init_container(&format!("{image}:{tag}")));
    if native {
        init.insert(1, proxy);
    } else if values.awaits_proxy() {
        own.insert(0, proxy);
    } else {
        own.push(proxy);
    }
    let mut volumes = list(spec, "volumes");
    volumes.extend(proxy_volumes());
    json!([
        set(
            "/metadata/annotations",
            with_annotations(annotations, mesh, &tag)
        ),
        set("/metadata/labels", labels(request, metadata)),
        set("/spec/initContainers", init),
        set("/spec/containers", own),
        set("/spec/volumes", volumes),
    ])
}

fn set(path: &str, value: impl Into<Value>) -> Value {
    let value: Value = value.into();
    json!({ "op": "add", "path": path, "value": value })
}

fn list(spec: &Value, name: &str) -> Vec<Value> {
    spec[name].as_array().cloned().unwrap_or_default()
}

/// Merges the namespace's annotations into the pod's; the pod's own ones win.
fn merged_annotations(request: &Request<'_>, metadata: &Value) -> Map<String, Value> {
    let mut annotations = metadata["annotations"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    for (key, value) in request.namespace_annotations {
        let is_native = NATIVE.iter().any(|(native, _)| native == key) && key != BETA;
        if key == INJECT || key.starts_with(CONFIG) || is_native {
            annotations
                .entry(key.clone())
                .or_insert_with(|| value.clone());
        }
    }
    annotations
}

fn with_annotations(
    mut annotations: Map<String, Value>,
    mesh: &Mesh,
    tag: &str,
) -> Map<String, Value> {
    let created_by = format!("linkerd/proxy-injector {}", mesh.version);
    annotations.insert("linkerd.io/created-by".into(), created_by.into());
    annotations.insert("linkerd.io/proxy-version".into(), tag.into());
    if mesh.values.stamps_anchors() {
        let digest = format!("{:x}", Sha256::digest(mesh.trust_roots.as_bytes()));
        annotations.insert("linkerd.io/trust-root-sha256".into(), digest.into());
    }
    annotations
}

fn labels(request: &Request<'_>, metadata: &Value) -> Map<String, Value> {
    let mut labels = metadata["labels"].as_object().cloned().unwrap_or_default();
    labels.insert("linkerd.io/control-plane-ns".into(), NAMESPACE.into());
    labels.insert("linkerd.io/workload-ns".into(), request.namespace.into());
    if let Some(owner) = request.owner {
        labels.insert(
            format!("linkerd.io/proxy-{}", owner.kind),
            owner.name.as_str().into(),
        );
    }
    labels
}

fn proxy_container(image: &str, native: bool, awaited: bool, trust_roots: &str) -> Value {
    let ready = json!({ "path": "/ready", "port": 4191 });
    let mut container = json!({
        "name": "linkerd-proxy",
        "image": image,
        "env": [{ "name": "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS", "value": trust_roots }],
        "ports": [{ "containerPort": 4143, "name": "linkerd-proxy" }, { "containerPort": 4191, "name": "linkerd-admin" }],
        "livenessProbe": { "httpGet": { "path": "/live", "port": 4191 }, "initialDelaySeconds": 10 },
        "readinessProbe": { "httpGet": ready, "initialDelaySeconds": 2 },
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true, "runAsUser": 2102,
        },
        "volumeMounts": [{ "mountPath": "/var/run/linkerd/identity/end-entity", "name": "linkerd-identity-end-entity" }],
    });
    if native {
        container["restartPolicy"] = "Always".into();
        container["startupProbe"] =
            json!({ "httpGet": ready, "periodSeconds": 1, "failureThreshold": 120 });
    } else if awaited {
        let command = ["/usr/lib/linkerd/linkerd-await", "--timeout=2m"];
        container["lifecycle"] = json!({ "postStart": { "exec": { "command": command } } });
    }
    container
}

fn proxy_volumes() -> [Value; 2] {
    [
        json!({ "name": "linkerd-proxy-init-xtables-lock", "emptyDir": {} }),
        json!({ "name": "linkerd-identity-end-entity", "emptyDir": { "medium": "Memory" } }),
    ]
}

#[cfg(test)]
mod truth;

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh(values: &str) -> Mesh {
        let text = format!(
            "linkerdVersion: edge-25.4.4\nproxy: {{image: {{name: r/proxy, version: ''}}{values}}}\nproxyInit: {{image: {{name: r/init, version: v1}}}}"
        );
        Mesh {
            values: Values::parse(&text).unwrap(),
            trust_roots: "roots".into(),
            version: "edge-25.4.4".into(),
        }
    }

    fn injected(pod: &Value, namespace: &Value, mesh: &Mesh) -> Result<Value, Skip> {
        let none = Map::new();
        let namespace_annotations = namespace.as_object().unwrap_or(&none);
        let owner = Owner {
            kind: "deployment",
            name: "web".into(),
        };
        let request = Request {
            pod,
            namespace: "shop",
            namespace_annotations,
            owner: Some(&owner),
        };
        let patch = inject(&request, mesh)?;
        let ops = patch.as_array().unwrap().iter();
        Ok(ops
            .map(|op| (op["path"].as_str().unwrap().to_owned(), op["value"].clone()))
            .collect::<Map<_, _>>()
            .into())
    }

    #[test]
    fn annotations_decide_as_the_mesh_documents() {
        let (no, yes) = (json!({}), json!({ INJECT: "enabled" }));
        let (off, ingress, odd) = (
            json!({ INJECT: "disabled" }),
            json!({ INJECT: "ingress" }),
            json!({ INJECT: "true" }),
        );
        for (namespace, pod, wanted) in [
            (&no, &no, Err(Skip::NotEnabled)),
            (&yes, &no, Ok(())),
            (&yes, &off, Err(Skip::Disabled)),
            (&no, &yes, Ok(())),
            (&off, &yes, Ok(())),
            (&off, &no, Err(Skip::NotEnabled)),
            (&no, &ingress, Ok(())),
            (&odd, &yes, Err(Skip::InvalidAnnotationOfNamespace)),
            (&yes, &odd, Err(Skip::InvalidAnnotationOfPod)),
        ] {
            let got = injected(
                &json!({ "metadata": { "annotations": pod } }),
                namespace,
                &mesh(""),
            )
            .map(drop);
            assert_eq!(got, wanted, "namespace {namespace}, pod {pod}");
        }
    }

    #[test]
    fn pods_that_cannot_take_a_proxy_are_left_alone() {
        for (spec, wanted) in [
            (json!({ "hostNetwork": true }), Skip::HostNetwork),
            (
                json!({ "containers": [{ "name": "istio-proxy" }] }),
                Skip::SidecarExists,
            ),
            (
                json!({ "initContainers": [{ "name": "linkerd-init" }] }),
                Skip::SidecarExists,
            ),
        ] {
            let got = injected(
                &json!({ "spec": spec }),
                &json!({ INJECT: "enabled" }),
                &mesh(""),
            );
            assert_eq!(got, Err(wanted), "{spec}");
        }
    }

    #[test]
    fn the_nearest_version_wins() {
        let pin = |version: &str| json!({ INJECT: "enabled", "config.linkerd.io/proxy-version": version });
        let (plain, pinned) = (
            mesh(""),
            Mesh {
                values: Values::parse(
                    "linkerdVersion: edge-25.4.4\nproxy: {image: {name: r/proxy, version: c}}",
                )
                .unwrap(),
                ..mesh("")
            },
        );
        for (pod, namespace, mesh, wanted) in [
            (
                json!({}),
                json!({ INJECT: "enabled" }),
                &plain,
                "r/proxy:edge-25.4.4",
            ),
            (
                json!({}),
                json!({ INJECT: "enabled" }),
                &pinned,
                "r/proxy:c",
            ),
            (json!({}), pin("n"), &pinned, "r/proxy:n"),
            (pin("p"), pin("n"), &pinned, "r/proxy:p"),
        ] {
            let got = injected(
                &json!({ "metadata": { "annotations": pod } }),
                &namespace,
                mesh,
            )
            .unwrap();
            assert_eq!(got["/spec/containers"][0]["image"], wanted);
        }
    }

    #[test]
    fn a_native_sidecar_stands_between_init_and_app() {
        let pod = json!({ "metadata": {}, "spec": { "initContainers": [{ "name": "mine" }], "containers": [{ "name": "app" }] } });
        let namespace = json!({ INJECT: "enabled", NATIVE[2].0: "true" });
        let got = injected(&pod, &namespace, &mesh("")).unwrap();
        let names = |list: &str| {
            got[list]
                .as_array()
                .unwrap()
                .iter()
                .map(|c| c["name"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names("/spec/initContainers"),
            ["linkerd-init", "linkerd-proxy", "mine"]
        );
        assert_eq!(names("/spec/containers"), ["app"]);
        assert_eq!(
            got["/metadata/labels"]["linkerd.io/proxy-deployment"],
            "web"
        );
    }
}
