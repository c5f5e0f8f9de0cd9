//! Sends one dry-run pod to each namespace with workloads: what would a new pod get there?

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{StreamExt as _, TryStreamExt as _};
use mesh_cluster::{Injected, Probe, Refusal, Refuser};
use serde_json::{Value, json};

use super::ask::{AT_A_TIME, Ask, Blocked};
use crate::fold::Folded;
use crate::ground::Ground;
use crate::plane::Objects;

/// Adds to each control plane what new pods get in the namespaces of its workloads, and whether its
/// webhook answers.
pub(super) async fn probe(
    ask: &mut Ask<'_>,
    folded: &Folded,
    ground: &Ground,
    planes: &mut [Objects],
) -> Result<(), Blocked> {
    for plane in planes {
        let namespaces = namespaces(folded, ground, &plane.namespace);
        let Some(probes) = sent(ask, namespaces).await? else {
            return Ok(());
        };
        plane.answers = answers(&probes, ground, &plane.namespace);
        let told = probes
            .iter()
            .map(|(namespace, probe)| (namespace.clone(), told(probe)));
        let told = Value::Object(told.collect());
        plane.facts.insert("probed".to_owned(), told);
    }
    Ok(())
}

fn namespaces<'a>(
    folded: &'a Folded,
    ground: &'a Ground,
    control_plane: &str,
) -> BTreeSet<&'a str> {
    let groups = folded.groups.iter();
    let own = groups.filter(|(_, _, group)| {
        group.is_workload() && group.control_plane(ground) == control_plane
    });
    own.map(|(identity, _, _)| identity.namespace.as_str())
        .collect()
}

// `None` if this user may not create pods.
async fn sent(
    ask: &mut Ask<'_>,
    namespaces: BTreeSet<&str>,
) -> Result<Option<BTreeMap<String, Probe>>, Blocked> {
    let cluster = ask.cluster;
    let probes = namespaces.into_iter().map(|namespace| async move {
        let probe = cluster.probe_plain(namespace).await?;
        Ok(probe.map(|probe| (namespace.to_owned(), probe)))
    });
    let probes = futures::stream::iter(probes).buffered(AT_A_TIME);
    let probes: Result<Vec<_>, _> = probes.try_collect().await;
    let probes = ask.optional_probes(probes)?;
    Ok(probes.map(|probes| probes.into_iter().flatten().collect()))
}

// One pod with a proxy proves that the webhook can be called. A pod without one proves the contrary
// only where the webhook takes pods.
fn answers(probes: &BTreeMap<String, Probe>, ground: &Ground, control_plane: &str) -> Option<bool> {
    let any = |is: fn(&Probe) -> bool| {
        probes
            .iter()
            .any(|(namespace, probe)| is(probe) && ground.takes_pods_of(control_plane, namespace))
    };
    let away = |probe: &Probe| match probe {
        Probe::NotInjected => true,
        Probe::Refused(Refusal { by, .. }) => {
            matches!(by, Refuser::AwayInjector | Refuser::Injector)
        }
        Probe::Injected(_) => false,
    };
    if probes
        .values()
        .any(|probe| matches!(probe, Probe::Injected(_)))
    {
        Some(true)
    } else {
        any(away).then_some(false)
    }
}

fn told(probe: &Probe) -> Value {
    match probe {
        Probe::Injected(Injected {
            version,
            image,
            is_pinned,
            ..
        }) => {
            let mut told = match &version.version {
                Some(version) => json!({ "version": version }),
                None => json!({ "image": image }),
            };
            if *is_pinned {
                told["pinned"] = true.into();
            }
            told
        }
        Probe::NotInjected => json!({ "injected": false }),
        Probe::Refused(refusal) => json!({ "refused": refusal.words }),
    }
}
