//! Sends one object to the API server as a dry run, in the very way in which it will be written.

use mesh_cluster::{Cluster, Error, Options, Target};
use mesh_records::Release;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::apply::MANAGER;
use crate::by_hand::{Managed, is_foreign};
use crate::field_managers::PREDECESSORS;
use crate::grafted::grafted;
use crate::helm_patch::Patch;
use crate::render::{Conflicts, Merge};

/// helm's field manager, in both majors.
const HELM: &str = "helm";

/// How objects will be written.
#[derive(Clone, Debug)]
pub(crate) enum How {
    Helm {
        merge: Merge,
        conflicts: Conflicts,
        release: Release,
    },
    /// This tool applies the objects one by one.
    Apply,
}

/// What the API server says of one object.
pub(crate) enum Said {
    Yes,
    /// It takes the object, but not beside what others set, which stays.
    OnlyAlone(Error),
}

/// An object that is in the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Present<'a> {
    pub(crate) version: String,
    /// As it was installed, if anybody knows.
    pub(crate) installed: Option<&'a Value>,
    /// What others than the installer set.
    pub(crate) foreign: &'a [Managed],
    /// The object in the cluster, if any of it is foreign and it may be read.
    pub(crate) live: Option<&'a Value>,
}

/// Asks in the way in which the object will be written. It is created unless it is `present`.
pub(crate) async fn try_out(
    cluster: &Cluster,
    how: &How,
    target: &Target,
    mut body: Value,
    present: Option<Present<'_>>,
) -> Result<Said, Error> {
    if let How::Helm { release, .. } = how {
        mark(&mut body, release);
    }
    let options = how.options();
    match (how, present) {
        (
            How::Helm {
                merge: Merge::OnServer,
                conflicts,
                ..
            },
            _,
        ) => {
            match conflicts {
                Conflicts::Refused => cluster.apply_unforced(target, &body, options).await?,
                Conflicts::Overwritten => cluster.apply(target, &body, options).await?,
            }
            Ok(Said::Yes)
        }
        (How::Helm { .. }, Some(present)) => present.patched(cluster, target, body, options).await,
        (How::Helm { .. }, None) => {
            let all = target.collection();
            cluster.create::<IgnoredAny>(&all, &body, options).await?;
            Ok(Said::Yes)
        }
        (How::Apply, None) => {
            let all = target.collection();
            cluster.create::<IgnoredAny>(&all, &body, options).await?;
            cluster.apply(target, &body, options).await?;
            Ok(Said::Yes)
        }
        (How::Apply, Some(present)) => {
            let version = present.version.clone();
            replaced(cluster, target, body.clone(), version, options).await?;
            match cluster.apply(target, &body, options).await {
                Ok(()) => Ok(Said::Yes),
                Err(error) if error.is_invalid() => {
                    present.beside(cluster, target, body, error).await
                }
                Err(error) => Err(error),
            }
        }
    }
}

// === impl How ===

impl How {
    fn options(&self) -> Options {
        let manager = match self {
            Self::Helm { .. } => HELM,
            Self::Apply => MANAGER,
        };
        Options {
            dry_run: true,
            field_manager: Some(manager),
        }
    }

    /// Returns the entries of others than the installer. What is applied was installed with kubectl
    /// before, and its fields are taken over.
    pub(crate) fn foreign(&self, managed: Vec<Managed>) -> Vec<Managed> {
        let (own, before): (&[_], &[_]) = match self {
            Self::Apply => (&[MANAGER], &PREDECESSORS),
            Self::Helm { .. } => (&[HELM, MANAGER], &[]),
        };
        let entries = managed.into_iter();
        entries
            .filter(|entry| is_foreign(entry, own, before))
            .collect()
    }
}

// === impl Present ===

impl Present<'_> {
    // What the patch leaves out stays, so the API server may refuse what it would take alone.
    async fn patched(
        self,
        cluster: &Cluster,
        target: &Target,
        body: Value,
        options: Options,
    ) -> Result<Said, Error> {
        let patched = match Patch::new(target.resource(), self.installed.unwrap_or(&body), &body) {
            Patch::Lists(patch) => {
                let patching = cluster.patch_lists::<IgnoredAny>(target, &patch, options);
                patching.await
            }
            Patch::Merge(patch) => cluster.patch::<IgnoredAny>(target, &patch, options).await,
        };
        match patched {
            Ok(_) => Ok(Said::Yes),
            Err(error) if error.is_invalid() && !self.foreign.is_empty() => {
                let alone = replaced(cluster, target, body, self.version, options).await;
                match alone {
                    Ok(()) => Ok(Said::OnlyAlone(error)),
                    Err(_) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    // What kubectl owns is taken over before the object is applied, so it is no reason against it. What
    // others own stays.
    async fn beside(
        self,
        cluster: &Cluster,
        target: &Target,
        body: Value,
        error: Error,
    ) -> Result<Said, Error> {
        let whole = match (self.foreign, self.live) {
            ([], _) => return Ok(Said::Yes),
            (_, None) => return Ok(Said::OnlyAlone(error)),
            (foreign, Some(live)) => grafted(&body, live, foreign),
        };
        let options = How::Apply.options();
        match replaced(cluster, target, whole, self.version, options).await {
            Ok(()) => Ok(Said::Yes),
            Err(error) if error.is_invalid() => Ok(Said::OnlyAlone(error)),
            Err(error) => Err(error),
        }
    }
}

async fn replaced(
    cluster: &Cluster,
    target: &Target,
    mut body: Value,
    version: String,
    options: Options,
) -> Result<(), Error> {
    body["metadata"]["resourceVersion"] = version.into();
    let replacing = cluster.replace::<IgnoredAny>(target, &body, options);
    replacing.await.map(drop)
}

// As helm marks what belongs to a release.
fn mark(body: &mut Value, release: &Release) {
    let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let Release { name, namespace } = release;
    let marks = [
        ("labels", "app.kubernetes.io/managed-by", "Helm"),
        ("annotations", "meta.helm.sh/release-name", name),
        ("annotations", "meta.helm.sh/release-namespace", namespace),
    ];
    for (field, key, value) in marks {
        let field = metadata.entry(field).or_insert(Value::Null);
        if field.is_null() {
            *field = json!({});
        }
        if let Some(field) = field.as_object_mut() {
            field.insert(key.to_owned(), value.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helms_marks_are_added_where_a_manifest_has_none() {
        let release = Release {
            name: "cp".to_owned(),
            namespace: "linkerd".to_owned(),
        };
        let mut body = json!({ "metadata": { "labels": { "a": "b" }, "annotations": null } });
        mark(&mut body, &release);
        let expected = json!({ "metadata": {
            "labels": { "a": "b", "app.kubernetes.io/managed-by": "Helm" },
            "annotations": {
                "meta.helm.sh/release-name": "cp",
                "meta.helm.sh/release-namespace": "linkerd",
            },
        } });
        assert_eq!(body, expected);
    }
}
