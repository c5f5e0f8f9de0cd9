//! What the linkerd CLI can render before the first write.
//!
//! It refuses to render a control plane while the cluster lacks a definition of its release, or a
//! version of one. Its flag `--from-manifests` is taken for no way around that: the maintainers let
//! the check of the definitions ask the cluster all the same. So such definitions are written first.

use std::sync::Arc;

use mesh_actor::{Ending, Outcome, hinted, refused};
use mesh_cluster::control_plane::issuer::SECRETS;
use mesh_cluster::object::Bare;
use mesh_cluster::{Cluster, Error, Target, Why, label};

use crate::definition::Definition;
use crate::gate::Goal;
use crate::installer::cli::{Cli, Half};
use crate::live::Live;
use crate::overrides::Overrides;
use crate::plan::{Definitions, Part, Parts, Rest, Staged, Write};
use crate::present::differs;
use crate::render::Rendered;
use crate::rights;
use crate::session::Session;
use crate::trust;
use crate::values::{Difference, Given, reconfigured};

const CRDS: &str = "the CRDs";
const CONTROL_PLANE: &str = "the control plane";
/// The Secret with the values of an installation by the CLI.
pub(crate) const OVERRIDES: &str = "linkerd-config-overrides";

/// Renders both parts, or the definitions alone where the cluster lacks any.
pub(crate) async fn render(
    session: &mut Session<'_>,
    goal: &Goal,
    live: &Live,
    cli: &Cli,
) -> Outcome<Staged<Parts>> {
    let Goal {
        namespace, target, ..
    } = goal;
    let inputs = Arc::clone(&session.inputs);
    let values = &inputs.overrides;
    let rendering = cli.render(Half::Crds, values, target);
    let crds = session.unless_stopped(rendering).await?;
    let hint = format!("run `{}`", cli.pasted(&["check"]));
    let crds = crds.map_err(|error| hinted(error, hint.clone()))?;
    let cluster = Arc::clone(&session.cluster);
    let missing = session.unless_stopped(missing(&cluster, &crds)).await??;
    let part = |half, rendered, is_needed| part(cli, values, half, rendered, is_needed);
    if !missing.is_empty() {
        let stored = session
            .unless_stopped(must_be_stored(&cluster, namespace))
            .await??;
        let may = rights::may_write_control_plane(&cluster, namespace);
        session.unless_stopped(may).await??;
        return Ok(Staged::Definitions(Box::new(Definitions {
            part: part(Half::Crds, crds, true),
            missing,
            by_hand: Vec::new(),
            rest: Rest {
                name: CONTROL_PLANE.to_owned(),
                command: cli.command(Half::ControlPlane, values),
                essence: format!("{}\0{stored}", cli.essence(Half::ControlPlane, values)),
                way_back: cli.way_back(),
            },
        })));
    }
    let rendering = cli.render(Half::ControlPlane, values, target);
    let control_plane = session.unless_stopped(rendering).await?;
    let control_plane = control_plane.map_err(|error| hinted(error, hint))?;
    let comparing = async {
        let crds = differs(&cluster, &crds.manifests, namespace).await?;
        Ok::<_, Error>((crds, is_needed(&cluster, &control_plane, namespace).await?))
    };
    let (crds_differ, is_needed) = session.unless_stopped(comparing).await??;
    let values = changed(live, &control_plane, target);
    Ok(Staged::Whole(Parts {
        crds: part(Half::Crds, crds, crds_differ),
        control_plane: Part {
            values,
            ..part(Half::ControlPlane, control_plane, is_needed)
        },
        hint: "check the output of `linkerd upgrade` and the values that it stored: they may pin a \
               version",
    }))
}

async fn is_needed(
    cluster: &Cluster,
    control_plane: &Rendered,
    namespace: &str,
) -> Result<bool, Error> {
    if differs(cluster, &control_plane.manifests, namespace).await? {
        return Ok(true);
    }
    // An interrupted run may have written a certificate and not the webhook that names it.
    let services = control_plane.webhook_services();
    match trust::broken(cluster, namespace, &services).await {
        Ok(broken) => Ok(broken.is_some()),
        Err(error) if error.rule().is_some() => Ok(false),
        Err(error) => Err(error),
    }
}

fn part(cli: &Cli, values: &Overrides, half: Half, rendered: Rendered, is_needed: bool) -> Part {
    let name = match half {
        Half::Crds => CRDS,
        Half::ControlPlane => CONTROL_PLANE,
    };
    Part {
        name: name.to_owned(),
        command: cli.command(half, values),
        essence: cli.essence(half, values),
        rendered,
        installed: None,
        values: Vec::new(),
        // The objects are only applied; nothing is deleted.
        removed: Vec::new(),
        restored: Vec::new(),
        is_needed,
        only_restores: false,
        // Definitions must not be rolled back: the API server may refuse older ones.
        way_back: (half == Half::ControlPlane).then(|| cli.way_back()),
        write: Write::Apply,
    }
}

// The CLI keeps the values that it stored, but a release may have others of its own.
fn changed(live: &Live, rendered: &Rendered, target: &str) -> Vec<Difference> {
    let config = rendered.config_map(label::CONFIG).ok();
    let wanted = config.as_ref().and_then(Given::configured);
    // A configuration that cannot be read ends the run when the identity settings are compared.
    let (Some(given), Some(wanted)) = (live.values(), wanted) else {
        return Vec::new();
    };
    let today = live.configuration().version.unwrap_or(target);
    reconfigured(&given, &wanted, [today, target])
}

// Fails if no values are stored: the CLI would say so only when it renders the control plane.
async fn must_be_stored(cluster: &Cluster, namespace: &str) -> Result<String, Ending> {
    let stored = stored(cluster, namespace).await?;
    stored.ok_or_else(|| {
        refused(
            format!("the namespace {namespace} has no Secret {OVERRIDES}"),
            "the linkerd CLI keeps the values of its installation there and cannot upgrade without \
             them; restore the Secret",
        )
    })
}

/// Identifies the values that the CLI stored, without reading them.
pub(crate) async fn stored(cluster: &Cluster, namespace: &str) -> Result<Option<String>, Error> {
    let target = Target::one(SECRETS, Some(namespace), OVERRIDES);
    match cluster.metadata::<Bare>(&target).await {
        Ok(Bare { meta }) => Ok(Some(format!("{} {}", meta.uid, meta.resource_version))),
        Err(error) if error.why() == Why::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

// Names the definitions that the cluster lacks, and the versions that a definition there lacks.
async fn missing(cluster: &Cluster, rendered: &Rendered) -> Result<Vec<String>, Error> {
    let mut missing = Vec::new();
    for (name, wanted) in Definition::among(&rendered.manifests) {
        match Definition::get(cluster, name).await? {
            Some(there) => {
                let versions = wanted.spec.versions.iter().map(|it| &it.name);
                let lacking = versions.filter(|version| !there.has(version));
                missing.extend(lacking.map(|version| format!("{name} {version}")));
            }
            None => missing.push(name.to_owned()),
        }
    }
    Ok(missing)
}
