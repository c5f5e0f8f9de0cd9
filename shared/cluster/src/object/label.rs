//! The labels, annotations and names by which Linkerd and Kubernetes mark what the tools read.

/// Label of a meshed pod: the namespace of its control plane.
pub const CONTROL_PLANE_NS: &str = "linkerd.io/control-plane-ns";
/// Label of a control plane's own objects; the injector leaves such pods alone.
pub const COMPONENT: &str = "linkerd.io/control-plane-component";
/// Label of the CNI plugin's objects; the injector leaves such pods alone.
pub const CNI: &str = "linkerd.io/cni-resource";
/// Label of a namespace that the CLI made for a control plane.
pub const IS_CONTROL_PLANE: &str = "linkerd.io/is-control-plane";
/// Label of an extension's namespace.
pub const EXTENSION: &str = "linkerd.io/extension";
/// Label of a namespace that the webhooks do not see.
pub const ADMISSION: &str = "config.linkerd.io/admission-webhooks";
/// Annotation that turns injection on or off.
pub const INJECT: &str = "linkerd.io/inject";
/// Annotation by which the injector says which proxy version it gave.
pub const PROXY_VERSION: &str = "linkerd.io/proxy-version";
/// Annotation that says what created an object, and which version of it.
pub const CREATED_BY: &str = "linkerd.io/created-by";
/// Annotation by which the injector says which trust bundle it gave.
pub const TRUST_ROOT: &str = "linkerd.io/trust-root-sha256";
/// Annotation that asks for a proxy version.
pub const PIN_VERSION: &str = "config.linkerd.io/proxy-version";
/// Annotation that asks for a proxy image.
pub const PIN_IMAGE: &str = "config.linkerd.io/proxy-image";
/// Label by which a Deployment tells its `ReplicaSet`s apart.
pub const TEMPLATE_HASH: &str = "pod-template-hash";
/// Label by which a `StatefulSet` and a `DaemonSet` tell the pods of their templates apart.
pub const REVISION_HASH: &str = "controller-revision-hash";
/// Annotation by which a Deployment and its `ReplicaSet`s count their templates; the newest
/// `ReplicaSet` has the Deployment's own number.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Label of many charts: the version of what an object runs.
pub const APP_VERSION: &str = "app.kubernetes.io/version";
/// Annotation of what Helm installed.
pub const HELM_RELEASE: &str = "meta.helm.sh/release-name";
/// Annotation of what Helm installed.
pub const HELM_NAMESPACE: &str = "meta.helm.sh/release-namespace";

/// Label of an EndpointSlice: the Service that it belongs to.
pub const SERVICE: &str = "kubernetes.io/service-name";

/// The proxy's container, whether among the containers or the init containers.
pub const PROXY: &str = "linkerd-proxy";
/// The `ConfigMap` of a control plane's values.
pub const CONFIG: &str = "linkerd-config";
/// The `ConfigMap` of the trust bundle.
pub const TRUST_ROOTS: &str = "linkerd-identity-trust-roots";
/// The injector's Service, and its Deployment.
pub const INJECTOR: &str = "linkerd-proxy-injector";
/// The Secret of the issuer's certificate.
pub const ISSUER: &str = "linkerd-identity-issuer";

/// The annotation on a pod template that `kubectl rollout restart` writes. Pods bear it too, so it
/// tells the pods of a restart from those before it, for every kind.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
