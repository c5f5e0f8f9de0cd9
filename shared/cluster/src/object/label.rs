//! The labels, annotations and names by which Linkerd and Kubernetes mark what the tools read.

/// Label that the injector gives a pod: the namespace of its control plane. Whether the pod has a
/// proxy is another question.
pub const CONTROL_PLANE_NS: &str = "linkerd.io/control-plane-ns";
/// Label of a control plane's own objects; the injector skips such pods.
pub const COMPONENT: &str = "linkerd.io/control-plane-component";
/// Label of the CNI plugin's objects; the injector skips such pods.
pub const CNI: &str = "linkerd.io/cni-resource";
/// Label of a namespace that the CLI made for a control plane.
pub const IS_CONTROL_PLANE: &str = "linkerd.io/is-control-plane";
/// Label of an extension's namespace.
pub const EXTENSION: &str = "linkerd.io/extension";
/// Label of a namespace that the webhooks exclude.
pub const ADMISSION: &str = "config.linkerd.io/admission-webhooks";
/// Annotation that turns injection on or off.
pub const INJECT: &str = "linkerd.io/inject";
/// Annotation of the injector: the version of the proxy that it added.
pub const PROXY_VERSION: &str = "linkerd.io/proxy-version";
/// Annotation that says what created an object, and the creator's version.
pub const CREATED_BY: &str = "linkerd.io/created-by";
/// Annotation of the injector: the SHA-256 of the trust bundle that it gave the pod.
pub const TRUST_ROOT: &str = "linkerd.io/trust-root-sha256";
/// Annotation that asks for a proxy version.
pub const PIN_VERSION: &str = "config.linkerd.io/proxy-version";
/// Annotation of a pod that a kubelet made from a file.
pub const MIRROR: &str = "kubernetes.io/config.mirror";
/// Label that distinguishes the `ReplicaSet`s of one Deployment.
pub const TEMPLATE_HASH: &str = "pod-template-hash";
/// Label that distinguishes the pods of different templates of a `StatefulSet` or `DaemonSet`.
pub const REVISION_HASH: &str = "controller-revision-hash";
/// Label that distinguishes the `ReplicaSet`s of one Argo Rollout (Argo's `utils/hash`).
pub const ROLLOUT_HASH: &str = "rollouts-pod-template-hash";
/// Annotation that numbers the templates of a Deployment; its newest `ReplicaSet` has the same
/// number as the Deployment.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Label that many charts set: the version of the program.
pub const APP_VERSION: &str = "app.kubernetes.io/version";
/// Label with the name of the Helm release or of the Argo CD application.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Annotation of objects that Helm installed: the release's name.
pub const HELM_RELEASE: &str = "meta.helm.sh/release-name";
/// Annotation of objects that Helm installed: the release's namespace.
pub const HELM_NAMESPACE: &str = "meta.helm.sh/release-namespace";

/// Label of an EndpointSlice: the Service that it belongs to.
pub const SERVICE: &str = "kubernetes.io/service-name";

/// Name of the proxy's container; it may be a container or an init container.
pub const PROXY: &str = "linkerd-proxy";
/// Variable of the proxy's environment with its trust bundle.
pub const TRUST_ANCHORS: &str = "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS";
/// Name of the `ConfigMap` with a control plane's values.
pub const CONFIG: &str = "linkerd-config";
/// Name of the `ConfigMap` with the trust bundle.
pub const TRUST_ROOTS: &str = "linkerd-identity-trust-roots";
/// Name of the injector's Service and Deployment.
pub const INJECTOR: &str = "linkerd-proxy-injector";
/// Name of the Service that gives proxies their certificates.
pub const IDENTITY: &str = "linkerd-identity";
/// Name of the Service that tells proxies where to send requests.
pub const DESTINATION: &str = "linkerd-dst";
/// Name of the Secret with the serving certificate of the injector's webhook.
pub const INJECTOR_TLS: &str = "linkerd-proxy-injector-k8s-tls";
/// Name of the Secret with the issuer's certificate.
pub const ISSUER: &str = "linkerd-identity-issuer";

/// The annotation on a pod template that `kubectl rollout restart` writes. Pods get it too, so it
/// tells the pods of a restart from older ones, for every kind.
pub const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";
