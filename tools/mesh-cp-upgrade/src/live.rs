//! Reads the control plane's current state.

use std::fmt;

use mesh_actor::Ending;
use mesh_cluster::control_plane::issuer::{CertificateSecret, SECRETS};
use mesh_cluster::control_plane::origin::{OPERATED, Operator, Origin, origin, release};
use mesh_cluster::control_plane::{Config, DEFINITIONS};
use mesh_cluster::object::{Bare, ConfigMap, Deployment, Meta};
use mesh_cluster::{Cluster, Error, Selection, Target, Why, label};
use mesh_records::{Explained, InstalledBy, Paste, Release};

use crate::expected::Expected;
use crate::identity::{Identity, Issuer, keeps_anchors_elsewhere};
use crate::values::Given;

/// The control plane's objects in the cluster, and what installed it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) installed: Installed,
    /// The components as their Deployments say today.
    pub(crate) components: Vec<Expected>,
    config: ConfigMap,
    version: Option<String>,
}

/// The version and resourceVersion of a control plane's configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Configuration<'a> {
    /// The version in the configuration.
    pub(crate) version: Option<&'a str>,
    pub(crate) resource_version: &'a str,
}

/// What installed the control plane.
#[derive(Debug)]
pub(crate) enum Installed {
    /// Helm, with two releases.
    Helm {
        control_plane: Release,
        crds: Release,
    },
    /// The linkerd CLI.
    Cli,
}

/// A custom resource definition that every Linkerd since stable-2.11 has.
const DEFINITION: &str = "serviceprofiles.linkerd.io";
/// The scheme of an issuer that another tool, such as cert-manager, keeps up to date.
const FROM_OUTSIDE: &str = "kubernetes.io/tls";

/// Reads the control plane. Fails if this tool may not upgrade it.
pub(crate) async fn look(cluster: &Cluster, namespace: &str) -> Result<Live, Ending> {
    let selection = Selection {
        namespace: Some(namespace),
        labels: Some(label::COMPONENT),
    };
    let (config, components, operator, crds) = futures::future::join4(
        config(cluster, namespace),
        cluster.pages::<Deployment>(selection).all(),
        operator(cluster),
        crds_release(cluster),
    )
    .await;
    // What is missing at all is said first.
    let (config, components) = (config?, components?);
    let objects = components.iter().map(|component| &component.meta);
    let objects: Vec<&Meta> = objects.chain([&config.meta]).collect();
    let paste = cluster.paste();
    let release = allowed(&paste, origin(&objects, operator?))?;
    let crds = crds?;
    let version = version(&config);
    Ok(Live {
        installed: agreed(&paste, namespace, release, crds)?,
        components: components.iter().map(Expected::written).collect(),
        config,
        version,
    })
}

async fn config(cluster: &Cluster, namespace: &str) -> Result<ConfigMap, Ending> {
    match cluster
        .get::<ConfigMap>(Some(namespace), label::CONFIG)
        .await
    {
        Ok(config) => Ok(config),
        Err(error) if error.why() == Why::NotFound => Err(Explained::new(
            format!("the namespace `{namespace}` has no control plane (no linkerd-config)"),
            "name the control plane's namespace with -L, and check --context",
        )
        .into()),
        Err(error) => Err(error.into()),
    }
}

// Without the right to look, nothing is upgraded.
async fn operator(cluster: &Cluster) -> Result<Operator, Error> {
    let pages = cluster.metadata_pages::<Bare>(OPERATED, Selection::default());
    match pages.all().await {
        Ok(resources) if resources.is_empty() => Ok(Operator::Absent),
        Ok(_) => Ok(Operator::Manages),
        Err(error) if error.why() == Why::NotFound => Ok(Operator::Absent),
        Err(error) => Err(error),
    }
}

// Returns the control plane's release, or `None` if the linkerd CLI installed it.
fn allowed(paste: &Paste, origin: Origin) -> Result<Option<Release>, Ending> {
    let Origin {
        installed_by,
        release,
        conflicts,
    } = origin;
    let refuse = |what: &str, hint: &str| Err(Explained::new(what, hint).into());
    let watch = paste.mesh("mesh-cp-upgrade", &["--watch-only", "--to", "VERSION"]);
    match (installed_by, release) {
        (InstalledBy::Helm, Some(release)) if conflicts.is_empty() => Ok(Some(release)),
        (InstalledBy::Cli, None) if conflicts.is_empty() => Ok(None),
        (InstalledBy::Helm | InstalledBy::Cli, _) => refuse(
            &format!(
                "it is not clear what installed the control plane: {}",
                conflicts.join("; ")
            ),
            "upgrade it with the tool that installed it",
        ),
        (InstalledBy::Gitops, _) => refuse(
            "Argo CD or Flux manages this control plane and would undo the upgrade",
            &format!(
                "change the version in the source that Argo CD or Flux applies, and watch the upgrade \
                 with `{watch}`"
            ),
        ),
        (InstalledBy::Operator, _) => refuse(
            "Buoyant's operator manages this control plane",
            &format!(
                "change the version in its ControlPlane resource, and watch the upgrade with `{watch}`"
            ),
        ),
        (InstalledBy::Unknown, _) => refuse(
            "cannot tell what installed this control plane",
            &format!(
                "check `{}`: this tool upgrades only what helm or the linkerd CLI installed",
                paste.helm("helm", &["list", "-A"])
            ),
        ),
    }
}

// The same tool must own the definitions and the control plane. helm deletes what a release's new chart
// lacks, so each must have a release of its own.
fn agreed(
    paste: &Paste,
    namespace: &str,
    release: Option<Release>,
    crds: Option<Release>,
) -> Result<Installed, Ending> {
    let refuse = |what: String, hint: &str| Err(Explained::new(what, hint).into());
    match (release, crds) {
        (Some(one), Some(crds)) if one == crds => refuse(
            format!(
                "the helm release {}/{} has both the CRDs and the control plane: an upgrade of its \
                 CRDs would delete the control plane",
                one.namespace, one.name
            ),
            &format!(
                "move its objects to two releases: {}",
                paste.split_release(Some(&one), namespace)
            ),
        ),
        (Some(control_plane), Some(crds)) => Ok(Installed::Helm {
            control_plane,
            crds,
        }),
        (None, None) => Ok(Installed::Cli),
        (Some(_), None) => refuse(
            format!("no helm release owns the CRD {DEFINITION}"),
            "move the CRDs into a helm release first, as the target's upgrade notes say",
        ),
        (None, Some(crds)) => refuse(
            format!(
                "the linkerd CLI installed the control plane, but the helm release {} owns the \
                 CRDs",
                crds.name
            ),
            "move the CRDs and the control plane to the same installer first: helm or the linkerd CLI",
        ),
    }
}

async fn crds_release(cluster: &Cluster) -> Result<Option<Release>, Error> {
    let target = Target::one(DEFINITIONS, None, DEFINITION);
    match cluster.get_as::<Bare>(&target).await {
        Ok(definition) => Ok(release(&definition.meta)),
        Err(error) if error.why() == Why::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn version(config: &ConfigMap) -> Option<String> {
    Config::of(config)?.version().map(str::to_owned)
}

// === impl Installed ===

impl fmt::Display for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Helm {
                control_plane,
                crds,
            } => {
                let of = |release: &Release| format!("{}/{}", release.namespace, release.name);
                let (control_plane, crds) = (of(control_plane), of(crds));
                write!(f, "helm, with the releases {control_plane} and {crds}")
            }
            Self::Cli => f.write_str("the linkerd CLI"),
        }
    }
}

// === impl Live ===

impl Live {
    /// Returns the control plane's namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.config.meta.namespace
    }

    /// Returns the configuration's version and resourceVersion.
    pub(crate) fn configuration(&self) -> Configuration<'_> {
        Configuration {
            version: self.version.as_deref(),
            resource_version: &self.config.meta.resource_version,
        }
    }

    /// Returns the values in the configuration, those of the chart included.
    pub(crate) fn values(&self) -> Option<Given> {
        Given::configured(&self.config)
    }

    /// Returns the proxy version that a new pod gets according to the configuration.
    pub(crate) fn injects(&self) -> Option<String> {
        Config::of(&self.config)?.injects().map(str::to_owned)
    }

    /// Returns true if the issuer and the trust anchors are rendered: nothing else, such as cert-manager,
    /// keeps one of them.
    pub(crate) fn renders_certificates(&self) -> bool {
        let config = Config::of(&self.config);
        config.is_some_and(|config| !is_external(&config) && !keeps_anchors_elsewhere(&config))
    }

    /// Its identity settings. Without the right to read the issuer, the issuer is `Unreadable`.
    pub(crate) async fn identity(&self, cluster: &Cluster) -> anyhow::Result<Identity> {
        let namespace = Some(self.namespace());
        let config = Config::of(&self.config);
        let config =
            config.ok_or_else(|| anyhow::anyhow!("cannot read the values in {}", label::CONFIG))?;
        let anchors: Option<ConfigMap> = match keeps_anchors_elsewhere(&config) {
            true => None,
            false => Some(cluster.get(namespace, label::TRUST_ROOTS).await?),
        };
        let anchors = anchors.as_ref();
        if is_external(&config) {
            return Identity::of(&config, anchors, Issuer::External);
        }
        let target = Target::one(SECRETS, namespace, label::ISSUER);
        let issuer = match cluster.get_as::<CertificateSecret>(&target).await {
            Ok(secret) => secret
                .certificate()
                .map_or(Ok(Issuer::Unreadable), Issuer::of_pem)?,
            Err(error) if matches!(error.why(), Why::NotFound | Why::Forbidden) => {
                Issuer::Unreadable
            }
            Err(error) => return Err(error.into()),
        };
        Identity::of(&config, anchors, issuer)
    }
}

fn is_external(config: &Config) -> bool {
    let scheme = config.facts().remove("issuer_scheme");
    scheme.is_some_and(|scheme| scheme == FROM_OUTSIDE)
}

/// Reads the version in the configuration.
pub(crate) async fn configured(
    cluster: &Cluster,
    namespace: &str,
) -> Result<Option<String>, Error> {
    let config = cluster
        .get::<ConfigMap>(Some(namespace), label::CONFIG)
        .await?;
    Ok(version(&config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_release_for_both_parts_is_refused_with_the_commands_that_split_it() {
        let release = |name: &str| {
            Some(Release {
                name: name.to_owned(),
                namespace: "default".to_owned(),
            })
        };
        let agreed = |crds| agreed(&Paste::default(), "linkerd", release("linkerd2"), crds);
        assert!(agreed(release("linkerd-crds")).is_ok());
        let Err(Ending::Failed(error)) = agreed(release("linkerd2")) else {
            panic!("it is refused");
        };
        assert!(format!("{error:#}").contains("default/linkerd2 has both"));
        let error = error.downcast_ref::<Explained>().unwrap();
        for part in [
            "helm get manifest linkerd2 -n default",
            "helm install linkerd-crds linkerd/linkerd-crds -n linkerd",
        ] {
            assert!(error.hint().contains(part), "{part}: {}", error.hint());
        }
    }
}
