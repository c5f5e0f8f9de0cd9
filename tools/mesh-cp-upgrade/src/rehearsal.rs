//! Asks the API server with dry runs whether it would take objects, in the very way in which they
//! will be written, and finds the fields in them that somebody set by hand.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _};
use mesh_cluster::{Cluster, Error, Kinds, Options, Target, Why};
use mesh_records::Release;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::apply::{MANAGER, placed};
use crate::by_hand::{ByHand, Managed, States, by_hand, is_foreign};
use crate::field_managers::{Existing, PREDECESSORS};
use crate::render::{Conflicts, Manifest, Merge};

/// The number of dry runs that are sent at the same time.
const AT_ONCE: usize = 8;
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

/// Objects to ask about.
#[derive(Clone, Debug)]
pub(crate) struct Rehearsal<'a> {
    pub(crate) manifests: &'a [Manifest],
    /// The objects as they were installed; `None` if nobody knows.
    pub(crate) installed: Option<&'a [Manifest]>,
    pub(crate) how: How,
    pub(crate) namespace: &'a str,
}

/// What the API server says to all objects.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// How many objects it was asked about.
    pub(crate) asked: usize,
    /// How many are of a kind that is not served before its definition is written.
    pub(crate) unasked: usize,
    /// What it would refuse: the object and why.
    pub(crate) refused: Vec<(String, String)>,
    /// The objects of kinds that it does not know, with their versions.
    pub(crate) unknown: Vec<String>,
    /// The objects with fields of somebody else's that helm may not change, and these.
    pub(crate) conflicts: Vec<(String, String)>,
    pub(crate) by_hand: Vec<(String, ByHand)>,
}

// What is found out about one object.
#[derive(Default)]
struct Answer {
    refused: Option<String>,
    conflict: Option<String>,
    by_hand: Vec<ByHand>,
}

/// Asks about all objects. `to_come` are the kinds that will be served before the objects are written.
pub(crate) async fn ask(
    cluster: &Cluster,
    rehearsal: &Rehearsal<'_>,
    to_come: &BTreeSet<String>,
) -> Result<Answers, Error> {
    let mut kinds = Kinds::default();
    let mut answers = Answers::default();
    let mut questions = Vec::new();
    for manifest in rehearsal.manifests {
        let (version, kind) = (&manifest.api_version, &manifest.kind);
        match cluster.kind(&mut kinds, version, kind).await? {
            Some(kind) => {
                questions.push((kind.target(&manifest.body, rehearsal.namespace), manifest));
            }
            None if to_come.contains(kind) => answers.unasked += 1,
            None => answers.unknown.push(format!("{manifest} ({version})")),
        }
    }
    answers.asked = questions.len();
    let asking = futures::stream::iter(questions).map(|(target, manifest)| async move {
        let answer = rehearsal.about(cluster, &target, manifest).await?;
        Ok::<_, Error>((manifest, answer))
    });
    let all: Vec<_> = asking.buffered(AT_ONCE).try_collect().await?;
    for (manifest, answer) in all {
        let name = manifest.to_string();
        let of = |what: String| (name.clone(), what);
        answers.refused.extend(answer.refused.map(of));
        answers.conflicts.extend(answer.conflict.map(of));
        let by_hand = answer.by_hand.into_iter();
        answers.by_hand.extend(by_hand.map(|it| (name.clone(), it)));
    }
    Ok(answers)
}

// === impl Rehearsal ===

impl Rehearsal<'_> {
    async fn about(
        &self,
        cluster: &Cluster,
        target: &Target,
        manifest: &Manifest,
    ) -> Result<Answer, Error> {
        let existing = match cluster.metadata::<Existing>(target).await {
            Ok(existing) => Some(existing),
            Err(error) if error.why() == Why::NotFound => None,
            Err(error) => return Err(error),
        };
        let body = placed(manifest.body.clone(), target);
        let version = existing
            .as_ref()
            .map(|it| it.metadata.resource_version.clone());
        let mut answer = match self.write(cluster, target, body, version).await {
            Ok(()) => Answer::default(),
            Err(error) => self.answered(manifest, &error).ok_or(error)?,
        };
        if let Some(existing) = existing {
            let managed = existing.managed();
            answer.by_hand = self.by_hand(cluster, target, manifest, managed).await?;
        }
        Ok(answer)
    }

    // Asks in the way in which the object will be written. Nothing is read of an existing object.
    async fn write(
        &self,
        cluster: &Cluster,
        target: &Target,
        mut body: Value,
        version: Option<String>,
    ) -> Result<(), Error> {
        let manager = match &self.how {
            How::Helm { .. } => HELM,
            How::Apply => MANAGER,
        };
        let options = Options {
            dry_run: true,
            field_manager: Some(manager),
        };
        match (&self.how, version) {
            (
                How::Helm {
                    merge: Merge::OnServer,
                    conflicts,
                    release,
                },
                _,
            ) => {
                mark(&mut body, release);
                match conflicts {
                    Conflicts::Refused => cluster.apply_unforced(target, &body, options).await,
                    Conflicts::Overwritten => cluster.apply(target, &body, options).await,
                }
            }
            (How::Helm { .. } | How::Apply, None) => {
                let all = target.collection();
                cluster.create::<IgnoredAny>(&all, &body, options).await?;
                self.apply(cluster, target, &body, options).await
            }
            (How::Helm { .. } | How::Apply, Some(version)) => {
                body["metadata"]["resourceVersion"] = version.into();
                let replaced = cluster.replace::<IgnoredAny>(target, &body, options);
                replaced.await?;
                if let Some(metadata) = body["metadata"].as_object_mut() {
                    metadata.remove("resourceVersion");
                }
                self.apply(cluster, target, &body, options).await
            }
        }
    }

    async fn apply(
        &self,
        cluster: &Cluster,
        target: &Target,
        body: &Value,
        options: Options,
    ) -> Result<(), Error> {
        match self.how {
            How::Helm { .. } => Ok(()),
            How::Apply => match cluster.apply(target, body, options).await {
                // What kubectl owns is still beside what is applied: the two together may not be
                // valid.
                Err(error) if error.is_invalid() => Ok(()),
                applied => applied,
            },
        }
    }

    // Returns `None` if the error is not the server's opinion of the object.
    fn answered(&self, manifest: &Manifest, error: &Error) -> Option<Answer> {
        let is_applied = matches!(
            self.how,
            How::Helm {
                merge: Merge::OnServer,
                ..
            }
        );
        let mut answer = Answer::default();
        // A conflict names fields and managers, no values.
        if is_applied && error.why() == Why::Conflict {
            answer.conflict = Some(conflict(&error.reason()));
        } else {
            answer.refused = Some(objection(&manifest.kind, error.why(), error.reason())?);
        }
        Some(answer)
    }

    // Reads the object only if somebody else set any of its fields, and never a Secret.
    async fn by_hand(
        &self,
        cluster: &Cluster,
        target: &Target,
        manifest: &Manifest,
        managed: Vec<Managed>,
    ) -> Result<Vec<ByHand>, Error> {
        // What is applied was installed with kubectl before.
        let before: &[_] = match self.how {
            How::Apply => &PREDECESSORS,
            How::Helm { .. } => &[],
        };
        let foreign: Vec<Managed> = managed
            .into_iter()
            .filter(|entry| is_foreign(entry, &[HELM, MANAGER], before))
            .collect();
        if foreign.is_empty() || manifest.kind == "Secret" {
            return Ok(Vec::new());
        }
        let live = match cluster.get_as::<Value>(target).await {
            Ok(live) => live,
            Err(error) if error.why() == Why::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let installed = self.installed.map(|all| {
            let mut all = all.iter();
            let found = all.find(|it| it.kind == manifest.kind && it.name == manifest.name);
            found.map_or(&Value::Null, |it| &it.body)
        });
        let states = States {
            live: &live,
            installed,
            wanted: &manifest.body,
        };
        Ok(by_hand(&foreign, states))
    }
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

// The server says first how many conflicts there are, and lists several on lines of their own.
fn conflict(reason: &str) -> String {
    let said = reason.split_once(": ").map_or(reason, |(_, said)| said);
    let lines: Vec<&str> = said
        .lines()
        .map(|line| line.trim_start_matches("- "))
        .collect();
    lines.join(" ")
}

// Returns `None` if the error is not the server's opinion of the object. The server's message
// about a Secret may quote its contents, so it is dropped.
fn objection(kind: &str, why: Why, reason: String) -> Option<String> {
    match why {
        Why::Refused | Why::Conflict | Why::Forbidden | Why::Broken
            if kind == "Secret" && !lacks_a_right(&reason) =>
        {
            Some("the API server refuses the Secret".to_owned())
        }
        Why::Refused | Why::Conflict | Why::Forbidden | Why::Broken | Why::NotFound => Some(reason),
        Why::Unreachable
        | Why::TimedOut
        | Why::Unauthorized
        | Why::Gone
        | Why::Busy
        | Why::Malformed => None,
    }
}

fn lacks_a_right(reason: &str) -> bool {
    reason.starts_with("secrets ") && reason.contains(" is forbidden: User ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_message_about_a_secret_is_dropped() {
        let said = || "Invalid value: \"PRIVATE\"".to_owned();
        for why in [Why::Refused, Why::Conflict, Why::Forbidden, Why::Broken] {
            let of_secret = objection("Secret", why, said()).unwrap();
            assert!(!of_secret.contains("PRIVATE"), "{of_secret}");
        }
        let right = r#"secrets "s" is forbidden: User "u" cannot patch resource "secrets""#;
        let of_right = objection("Secret", Why::Forbidden, right.to_owned());
        assert_eq!(of_right.as_deref(), Some(right));
        assert_eq!(objection("Role", Why::Refused, said()), Some(said()));
        assert_eq!(objection("Role", Why::TimedOut, said()), None);
    }

    #[test]
    fn a_conflict_is_said_in_one_line() {
        let one = "Apply failed with 1 conflict: conflict with \"kubectl\" with subresource \
                   \"scale\" using apps/v1: .spec.replicas";
        assert_eq!(
            conflict(one),
            "conflict with \"kubectl\" with subresource \"scale\" using apps/v1: .spec.replicas"
        );
        let two =
            "Apply failed with 2 conflicts: conflicts with \"kubectl-edit\":\n- .spec.a\n- .spec.b";
        assert_eq!(
            conflict(two),
            "conflicts with \"kubectl-edit\": .spec.a .spec.b"
        );
    }

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
