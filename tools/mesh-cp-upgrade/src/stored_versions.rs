//! Finds definitions that no longer have a version in which the cluster may still store objects. The
//! API server refuses such a definition, and says nothing of the way out.

use mesh_cluster::{Cluster, Error};
use mesh_records::{Explained, Paste};

use crate::definition::Definition;
use crate::render::Manifest;

/// A definition that the API server would refuse for its stored versions.
#[derive(Debug)]
pub(crate) struct Outdated {
    /// The definition's name.
    pub(crate) name: String,
    pub(crate) finding: Explained,
}

/// Compares the rendered definitions with those in the cluster.
pub(crate) async fn outdated(
    cluster: &Cluster,
    manifests: &[Manifest],
) -> Result<Vec<Outdated>, Error> {
    let mut all = Vec::new();
    for (name, new) in Definition::among(manifests) {
        if let Some(live) = Definition::get(cluster, name).await? {
            let finding = finding(&cluster.paste(), name, &live, &new);
            all.extend(finding.map(|finding| Outdated {
                name: name.to_owned(),
                finding,
            }));
        }
    }
    Ok(all)
}

fn finding(paste: &Paste, name: &str, live: &Definition, new: &Definition) -> Option<Explained> {
    let stored = &live.status.stored_versions;
    let lost: Vec<&str> = stored
        .iter()
        .map(String::as_str)
        .filter(|version| !new.has(version))
        .collect();
    if lost.is_empty() {
        return None;
    }
    let what = format!(
        "the new definition of {name} lacks {}, in which the cluster may still store objects \
         (status.storedVersions: {})",
        lost.join(", "),
        stored.join(", ")
    );
    let mut versions = live.spec.versions.iter();
    let storage = versions.find(|it| it.storage && new.has(&it.name));
    let hint = match storage {
        Some(storage) => {
            let storage = &storage.name;
            let [again, forget] = paste.migrate_storage(name, storage);
            format!(
                "store every object again, in {storage}, with `{again}`; then forget the other \
                 versions with `{forget}`"
            )
        }
        None => format!(
            "apply a definition of {name} first that has {} and stores a version that the new one \
             has too, as a release between the two does",
            lost.join(", ")
        ),
    };
    Some(Explained::new(what, hint))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(versions: &[(&str, bool)], stored: &[&str]) -> Definition {
        let version = |(name, storage): &(&str, bool)| json!({ "name": name, "served": true, "storage": storage });
        let versions: Vec<_> = versions.iter().map(version).collect();
        let names = json!({ "kind": "Route" });
        let body = json!({
            "spec": { "group": "a.test", "names": names, "versions": versions },
            "status": { "storedVersions": stored },
        });
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn a_stored_version_that_the_new_definition_lacks_is_found_with_its_way_out() {
        let new = definition(&[("v1", true)], &[]);
        let both = [("v1alpha2", false), ("v1", true)];
        let old = [("v1alpha2", true), ("v1", false)];
        // what is there, what the error and the hint say
        let table = [
            (definition(&both, &["v1"]), None),
            (
                definition(&both, &["v1alpha2", "v1"]),
                Some((
                    "lacks v1alpha2, in which the cluster may still store objects \
                     (status.storedVersions: v1alpha2, v1)",
                    "kubectl get routes.a.test -A -o json | kubectl replace -f -`; then forget the \
                     other versions with `kubectl patch crd routes.a.test --subresource=status \
                     --type=merge -p '{\"status\":{\"storedVersions\":[\"v1\"]}}'",
                )),
            ),
            (
                definition(&old, &["v1alpha2"]),
                Some((
                    "lacks v1alpha2",
                    "apply a definition of routes.a.test first",
                )),
            ),
        ];
        for (number, (live, expected)) in table.into_iter().enumerate() {
            let found = finding(&Paste::default(), "routes.a.test", &live, &new);
            let said = found.map(|it| (it.to_string(), it.hint().to_owned()));
            match (said, expected) {
                (None, None) => {}
                (Some((what, hint)), Some((part, way_out))) => {
                    assert!(what.contains(part), "row {number}: {what}");
                    assert!(hint.contains(way_out), "row {number}: {hint}");
                }
                other => panic!("row {number}: {other:?}"),
            }
        }
    }
}
