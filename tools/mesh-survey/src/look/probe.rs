//! Sends one dry-run pod to each namespace with workloads: what would a new pod get there?

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{StreamExt as _, TryStreamExt as _};
use mesh_cluster::{Injected, Probe, Refusal, Refuser};
use serde_json::{Map, Value, json};

use super::ask::{AT_A_TIME, Ask, Blocked};
use crate::fold::Folded;
use crate::ground::Ground;
use crate::plane::Objects;
use crate::survey::NAMED;

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
        let facts = [
            ("probed", Value::Object(few(&probes))),
            ("probed_namespaces", probes.len().into()),
        ];
        let facts = facts.map(|(name, fact)| (name.to_owned(), fact));
        plane.facts.extend(facts);
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

// What new pods get, of as many namespaces as a record should have: first where that is no proxy.
fn few(probes: &BTreeMap<String, Probe>) -> Map<String, Value> {
    let mut order: Vec<_> = probes.iter().collect();
    order.sort_by_key(|(_, probe)| matches!(probe, Probe::Injected(_)));
    let few = order.into_iter().take(NAMED);
    few.map(|(namespace, probe)| (namespace.clone(), told(probe)))
        .collect()
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

#[cfg(test)]
mod tests {
    use mesh_cluster::workload::proxy::ProxyVersion;
    use mesh_records::VersionSource;

    use super::*;

    #[test]
    fn namespaces_where_pods_get_no_proxy_are_told_first() {
        let injected = Probe::Injected(Injected {
            version: ProxyVersion {
                version: Some("stable-2.14.10".to_owned()),
                tag: None,
                source: VersionSource::Image,
            },
            image: String::new(),
            native: false,
            anchors: None,
            is_pinned: false,
            labels: BTreeMap::new(),
        });
        let all = (0..50).map(|number| (format!("shop-{number:02}"), injected.clone()));
        let mut probes: BTreeMap<String, Probe> = all.collect();
        probes.insert("shop-40".to_owned(), Probe::NotInjected);
        let few = few(&probes);
        assert_eq!(few.len(), NAMED);
        assert_eq!(few["shop-40"], json!({ "injected": false }));
        assert!(few.contains_key("shop-18") && !few.contains_key("shop-19"));
    }
}
