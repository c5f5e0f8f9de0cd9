//! Whether the API server calls the mesh's own webhooks, and trusts their certificates.
//!
//! Every upgrade makes these certificates anew and names them in the webhooks' configurations. Where
//! one was written without the other, the API server cannot call the webhook, and a webhook whose
//! failurePolicy is Ignore is then silently left out. So is one whose configuration is gone.

use std::collections::BTreeSet;

use mesh_cluster::control_plane::certificate::stands_on;
use mesh_cluster::control_plane::issuer::{CertificateSecret, SECRETS};
use mesh_cluster::object::ByteString;
use mesh_cluster::{Cluster, Error, Selection, Target, Why, label};

use crate::webhooks::{Configuration, Hook, KINDS};

/// Returns what is wrong with the first of these Services of the control plane that is behind no
/// webhook, or behind one whose certificate the API server does not trust. What cannot be told is not
/// wrong.
///
/// # Errors
/// A configuration or a certificate cannot be read, or a right is missing.
pub(crate) async fn broken(
    cluster: &Cluster,
    namespace: &str,
    services: &BTreeSet<String>,
) -> Result<Option<String>, Error> {
    let mut uncalled: BTreeSet<&str> = services.iter().map(String::as_str).collect();
    for resource in KINDS {
        let pages = cluster.pages_as::<Configuration>(resource, Selection::default());
        for Configuration { metadata, webhooks } in pages.all().await? {
            for hook in &webhooks {
                let Some(service) = hook.own_service(namespace, services) else {
                    continue;
                };
                uncalled.remove(service);
                let secret = format!("{service}-k8s-tls");
                let Some(serving) = certificate(cluster, namespace, &secret).await? else {
                    continue;
                };
                if trusts(hook.ca_bundle(), &serving) == Some(false) {
                    return Ok(Some(format!(
                        "the API server does not trust {service}: the caBundle of the webhook {} ({} \
                         {}) is not of the certificate in the Secret {namespace}/{secret}",
                        hook.name, resource.kind, metadata.name
                    )));
                }
            }
        }
    }
    Ok(uncalled.first().map(|service| {
        format!(
            "the API server does not call {service}: no webhook configuration names this Service"
        )
    }))
}

/// Returns the Services that the webhooks of the control plane name.
///
/// # Errors
/// The configurations cannot be read, or a right is missing.
pub(crate) async fn called(cluster: &Cluster, namespace: &str) -> Result<BTreeSet<String>, Error> {
    let mut services = BTreeSet::new();
    let own = format!("{}={namespace}", label::CONTROL_PLANE_NS);
    let selection = Selection {
        namespace: None,
        labels: Some(&own),
    };
    for resource in KINDS {
        let pages = cluster.pages_as::<Configuration>(resource, selection);
        let all = pages.all().await?;
        let hooks = all.iter().flat_map(|it| &it.webhooks);
        let named = hooks.filter_map(Hook::service);
        let named = named.filter(|service| service.namespace == namespace);
        services.extend(named.map(|service| service.name.clone()));
    }
    Ok(services)
}

// Without a bundle the API server trusts the authorities of its machine, and none of them signs for
// the name of a Service.
fn trusts(bundle: Option<&ByteString>, serving: &[u8]) -> Option<bool> {
    match bundle {
        Some(bundle) if !bundle.0.is_empty() => stands_on(&bundle.0, serving),
        Some(_) | None => Some(false),
    }
}

// Somebody else may keep the certificate elsewhere.
async fn certificate(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<Option<Vec<u8>>, Error> {
    let target = Target::one(SECRETS, Some(namespace), name);
    match cluster.get_as::<CertificateSecret>(&target).await {
        Ok(secret) => Ok(secret.certificate().map(<[u8]>::to_vec)),
        Err(error) if error.why() == Why::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

// === impl Hook ===

impl Hook {
    // Returns its Service if that is one of these in the control plane's namespace.
    fn own_service(&self, namespace: &str, services: &BTreeSet<String>) -> Option<&str> {
        let service = self.service()?;
        let is_own = service.namespace == namespace && services.contains(&service.name);
        is_own.then_some(service.name.as_str())
    }
}
