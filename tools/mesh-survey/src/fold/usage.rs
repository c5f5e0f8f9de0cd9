//! Finds features that pods use and that upgrade notes are about.

use mesh_cluster::object::label;
use mesh_cluster::object::{Container, Pod};
use mesh_cluster::workload::injection::is_left_out;
use mesh_versions::Use;

/// Returns the features that a meshed pod uses.
pub(crate) fn uses(pod: &Pod) -> impl Iterator<Item = Use> + '_ {
    let annotation = |key: &str| pod.meta.annotations.get(key).map(String::as_str);
    let native = ["config.alpha.linkerd.io", "config.beta.linkerd.io"]
        .iter()
        .any(|group| annotation(&format!("{group}/proxy-enable-native-sidecar")).is_some());
    let allowed = annotation("config.linkerd.io/proxy-admin-shutdown") == Some("enabled");
    let waits = annotation("config.alpha.linkerd.io/proxy-wait-before-exit-seconds");
    let left_out = is_left_out(&pod.meta.namespace);
    let uses = [
        (
            Use::ShutdownEndpoint,
            !allowed && pod.spec.containers.iter().any(shuts_down),
        ),
        (
            Use::IngressMode,
            annotation(label::INJECT) == Some("ingress"),
        ),
        (
            Use::WaitBeforeExit,
            waits.is_some_and(|seconds| seconds != "0"),
        ),
        (Use::NativeSidecarPreview, native),
        (
            Use::JsonLogs,
            annotation("config.linkerd.io/proxy-log-format") == Some("json"),
        ),
        (Use::LeftOutNamespace, left_out),
    ];
    uses.into_iter()
        .filter_map(|(what, is_so)| is_so.then_some(what))
}

fn shuts_down(container: &Container) -> bool {
    let words = || container.command.iter().chain(&container.args);
    let awaits = words().any(|word| word.contains("linkerd-await"));
    let flag = || {
        words().any(|word| {
            word.split_whitespace()
                .any(|word| matches!(word, "-S" | "--shutdown"))
        })
    };
    container.name != label::PROXY
        && (words().any(|word| word.contains(":4191/shutdown")) || (awaits && flag()))
}
