//! What somebody set by hand on a control plane that is not rendered yet. Nobody knows before the
//! render which of it the upgrade overwrites, so the question names all of it, and what it did not name
//! is not overwritten.

use mesh_cluster::control_plane::issuer::SECRETS;
use mesh_cluster::{Cluster, Error, Kinds, Why};
use serde::Deserialize as _;
use serde_json::Value;

use crate::by_hand::{ByHand, Fate, States, by_hand};
use crate::dry_write::How;
use crate::field_managers::Existing;
use crate::labelled::{KINDS, labelled};

/// A field that somebody set by hand, with its object.
pub(crate) type OnObject = (String, ByHand);

/// Returns the fields that somebody set by hand on the objects of the control plane. A Secret is not
/// read, nor a kind that this user may not list.
pub(crate) async fn foreseen(cluster: &Cluster, namespace: &str) -> Result<Vec<OnObject>, Error> {
    let (mut all, mut kinds) = (Vec::new(), Kinds::default());
    for (kind, place) in KINDS {
        if kind == SECRETS {
            continue;
        }
        match labelled(cluster, &mut kinds, namespace, kind, place).await {
            Ok(objects) => all.extend(objects.iter().flat_map(on_object)),
            Err(error) if error.why() == Why::Forbidden => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Returns the first field that is overwritten and that was not told before.
pub(crate) fn untold<'a>(told: &[OnObject], now: &'a [OnObject]) -> Option<&'a OnObject> {
    let is_told = |(object, field): &OnObject| {
        let mut told = told.iter();
        told.any(|(other, told)| other == object && covers(told, field))
    };
    now.iter().find(|one| match one.1.fate {
        Fate::Overwritten(_) => !is_told(one),
        Fate::Kept | Fate::Open(_) => false,
    })
}

fn on_object(object: &Value) -> Vec<OnObject> {
    let Ok(existing) = Existing::deserialize(object) else {
        return Vec::new();
    };
    let mut foreign = How::Apply.foreign(existing.managed());
    foreign.retain(|entry| !entry.is_of_kubernetes());
    let states = States {
        live: object,
        installed: None,
        wanted: None,
    };
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = format!(
        "{} {}",
        word(&object["kind"]),
        word(&object["metadata"]["name"])
    );
    let fields = by_hand(&foreign, states).into_iter();
    fields.map(|field| (name.clone(), field)).collect()
}

// What was told may be a whole item of a list, and what is overwritten a part of it.
fn covers(told: &ByHand, now: &ByHand) -> bool {
    let Some(rest) = now.field.strip_prefix(&told.field) else {
        return false;
    };
    let is_same = match (&told.fate, &now.fate) {
        (Fate::Open(Some(was)), Fate::Overwritten(Some((is, _)))) => was == is || !rest.is_empty(),
        _ => true,
    };
    told.manager == now.manager && is_same && (rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(replicas: u32, manager: &str) -> Value {
        let entry = |manager: &str, fields: Value| json!({ "manager": manager, "operation": "Update", "fieldsV1": fields });
        let added = json!({ ".": {}, "f:name": {}, "f:value": {} });
        let env = json!({ "k:{\"name\":\"LOG\"}": added });
        let edits = json!({ "f:spec": { "f:replicas": {}, "f:env": env } });
        let number = json!({ "f:metadata": { "f:annotations": { "f:revision": {} } } });
        json!({
            "kind": "Deployment",
            "metadata": {
                "name": "d",
                "resourceVersion": "1",
                "annotations": { "revision": "1" },
                "managedFields": [
                    entry("kubectl-client-side-apply", json!({ "f:spec": { "f:paused": {} } })),
                    entry("kube-controller-manager", number),
                    entry(manager, edits),
                ],
            },
            "spec": { "replicas": replicas, "paused": false, "env": [{ "name": "LOG", "value": "x" }] },
        })
    }

    fn now(live: &Value, wanted: &Value) -> Vec<OnObject> {
        let existing = Existing::deserialize(live).unwrap();
        let foreign = How::Apply.foreign(existing.managed());
        let states = States {
            live,
            installed: None,
            wanted: Some(wanted),
        };
        let fields = by_hand(&foreign, states).into_iter();
        fields.map(|it| ("Deployment d".to_owned(), it)).collect()
    }

    #[test]
    fn every_field_of_somebody_elses_is_named_before_the_render() {
        let all = on_object(&deployment(2, "kubectl-edit"));
        let said: Vec<String> = all
            .iter()
            .map(|(object, field)| format!("{} {object}: {field}", field.verb()))
            .collect();
        let expected = [
            "overwrite or keep Deployment d: .spec.env[LOG], which kubectl-edit set",
            "overwrite or keep Deployment d: .spec.replicas, which kubectl-edit set to 2",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn only_what_was_told_may_be_overwritten() {
        let wanted = json!({ "spec": { "replicas": 1, "env": [{ "name": "LOG", "value": "y" }] } });
        let told = on_object(&deployment(2, "kubectl-edit"));
        let found = |live: &Value, wanted: &Value| {
            let now = now(live, wanted);
            untold(&told, &now).map(|(_, field)| field.to_string())
        };
        assert_eq!(found(&deployment(2, "kubectl-edit"), &wanted), None);
        let other = found(&deployment(2, "kubectl-patch"), &wanted).unwrap();
        assert!(other.contains("kubectl-patch"), "{other}");
        let changed = found(&deployment(5, "kubectl-edit"), &wanted).unwrap();
        assert_eq!(
            changed,
            ".spec.replicas, which kubectl-edit set to 5: it becomes 1"
        );
        // What stays needs no consent.
        let kept = json!({ "spec": { "replicas": 5 } });
        assert_eq!(found(&deployment(5, "kubectl-edit"), &kept), None);
    }
}
