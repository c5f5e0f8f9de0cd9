//! Watches an upgrade that something else performs, and proves it in the same way. Needs no verdict,
//! takes no lock and writes nothing but dry runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt as _;
use mesh_actor::{Ending, Outcome, Run};
use mesh_cluster::clock::later;
use mesh_cluster::control_plane::Config;
use mesh_cluster::object::{ConfigMap, EndpointSlice};
use mesh_cluster::{Change, Cluster, Error, Selection, label};
use mesh_records::{Explained, StepName};
use mesh_versions::COMPONENTS;
use tokio::time::timeout_at;

use crate::args::Args;
use crate::expected::Expected;
use crate::inputs::Inputs;
use crate::mesh;
use crate::monitor::{Watched, settled};
use crate::prove::{places, prove};
use crate::readiness;
use crate::session::{Findings, Session};
use crate::trust::called;

/// The Services behind the webhooks of every release.
const SERVICES: [&str; 3] = [
    label::INJECTOR,
    "linkerd-sp-validator",
    "linkerd-policy-validator",
];

/// Runs `--watch-only`.
pub(crate) async fn run(run: &mut Run, args: &Args) -> Outcome<Ending> {
    let inputs = Inputs::none(&run.cluster)?;
    let mut session = Session::new(run, inputs, Findings::default());
    let (Ok(ending) | Err(ending)) = watch(&mut session, args).await;
    session.fail_step(&ending)?;
    let Ending::No(error) = ending else {
        return Ok(ending);
    };
    let again = session.run.again();
    let hint = format!("see what upgrades the control plane, then watch again: {again}");
    Ok(Ending::No(error.with_hint(hint)))
}

async fn watch(session: &mut Session<'_>, args: &Args) -> Outcome<Ending> {
    let namespace = args.linkerd_namespace.as_deref().unwrap_or("linkerd");
    let target = args.to.as_ref().map(ToString::to_string);
    let target = target.unwrap_or_default();
    session.skip(
        StepName::Gate,
        &format!("watching the upgrade of the control plane in {namespace} to {target}"),
        "--watch-only",
    )?;
    let message = format!("waiting for the control plane in {namespace} to become {target}");
    session.begin(StepName::Watch, &message)?;
    let injects = begun(session, args, namespace, &target).await?;
    // The configuration changes first, before a component does.
    let ready = readiness::before(session, namespace).await?;
    let cluster = Arc::clone(&session.cluster);
    let services = session.unless_stopped(services(&cluster, namespace));
    let watched = Watched {
        namespace,
        target: &target,
        components: COMPONENTS
            .map(|name| Expected::of_release(name, &target))
            .into(),
        services: services.await??,
    };
    settled(session, args, watched).await?;
    let meshed = match &args.prove_in {
        Some(_) => Vec::new(),
        None => {
            let pods = session.unless_stopped(mesh::pods(&cluster, namespace));
            mesh::places(&pods.await??)
        }
    };
    let unproven = prove(session, &target, &injects, places(args, &meshed)).await?;
    let unready = readiness::after(session, namespace, ready).await?;
    Ok(session.proven(unproven.into_iter().chain(unready)))
}

// Waits until the configuration names the target. Returns the proxy version that it gives new pods.
async fn begun(
    session: &mut Session<'_>,
    args: &Args,
    namespace: &str,
    target: &str,
) -> Outcome<String> {
    let cluster = Arc::clone(&session.cluster);
    let selection = Selection {
        namespace: Some(namespace),
        labels: None,
    };
    let watch = cluster.watch::<ConfigMap>(selection).into_stream();
    let mut watch = std::pin::pin!(watch);
    let deadline = later(args.timeout);
    let mut seen = None;
    loop {
        let next = session.unless_stopped(timeout_at(deadline, watch.next()));
        let Ok(change) = next.await? else {
            let seen = seen.as_deref().unwrap_or("not readable");
            let what = format!(
                "the upgrade to {target} has not begun within {:?}: linkerd-config names {seen}",
                args.timeout
            );
            return Err(Ending::No(Explained::new(what, "")));
        };
        let change = change.ok_or_else(|| anyhow::anyhow!("a watch of the API server ended"))??;
        let config = match change {
            Change::Seen(config) | Change::Applied(config) if config.meta.name == label::CONFIG => {
                config
            }
            Change::Listed { .. } if seen.is_none() => return Err(absent(namespace)),
            Change::Began
            | Change::Listed { .. }
            | Change::Deleted(_)
            | Change::Seen(_)
            | Change::Applied(_) => continue,
        };
        let config = Config::of(&config);
        let version = config.as_ref().and_then(Config::version);
        if let (Some(config), true) = (&config, version == Some(target)) {
            return Ok(config.injects().unwrap_or(target).to_owned());
        }
        let version = version.unwrap_or("no version").to_owned();
        if seen.as_ref() != Some(&version) {
            let message = format!("linkerd-config names {version}, not {target} yet");
            session.says_waiting(message.clone(), message)?;
        }
        seen = Some(version);
    }
}

fn absent(namespace: &str) -> Ending {
    Explained::new(
        format!("the namespace `{namespace}` has no control plane (no linkerd-config)"),
        "name the control plane's namespace with -L, and check --context",
    )
    .into()
}

// The Services that webhooks call, and of those that every release has the ones that are there: an old
// release lacks some.
async fn services(cluster: &Cluster, namespace: &str) -> Result<BTreeSet<String>, Error> {
    let selection = Selection {
        namespace: Some(namespace),
        labels: None,
    };
    let slices = cluster.pages::<EndpointSlice>(selection);
    let slices = slices.all().await?;
    let has = |service: &&str| slices.iter().any(|slice| slice.is_of(service));
    let there = SERVICES.into_iter().filter(has);
    let mut services = match called(cluster, namespace).await {
        Ok(called) => called,
        Err(error) if error.rule().is_some() => BTreeSet::new(),
        Err(error) => return Err(error),
    };
    services.extend(there.map(str::to_owned));
    Ok(services)
}
