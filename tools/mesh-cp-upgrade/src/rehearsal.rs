//! Asks the API server with dry runs whether it would take objects, in the very way in which they
//! will be written, and finds the fields in them that somebody set by hand.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _};
use mesh_cluster::{AT_ONCE, Cluster, Error, Kinds, Target, Why};
use serde_json::Value;

use crate::apply::placed;
use crate::by_hand::{ByHand, Fate, Managed, States, by_hand};
use crate::dry_write::{How, Present, Said, try_out};
use crate::field_managers::Existing;
use crate::new_kinds::NewKind;
use crate::render::{Manifest, Merge};

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
    /// The RBAC rules that some of it is refused for want of.
    pub(crate) rules: BTreeSet<String>,
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
    rule: Option<String>,
    conflict: Option<String>,
    by_hand: Vec<ByHand>,
}

/// Asks about all objects. `to_come` are the kinds that will be served before the objects are written.
pub(crate) async fn ask(
    cluster: &Cluster,
    rehearsal: &Rehearsal<'_>,
    to_come: &BTreeSet<NewKind>,
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
            None if to_come.contains(&NewKind::of(manifest)) => answers.unasked += 1,
            None => answers.unknown.push(format!("{manifest} ({version})")),
        }
    }
    answers.asked = questions.len();
    let asking = questions.into_iter().map(|(target, manifest)| async move {
        let answer = rehearsal.about(cluster, &target, manifest).await?;
        Ok::<_, Error>((manifest, answer))
    });
    let asking = futures::stream::iter(asking.collect::<Vec<_>>());
    let all: Vec<_> = asking.buffered(AT_ONCE).try_collect().await?;
    for (manifest, answer) in all {
        let name = manifest.to_string();
        let of = |what: String| (name.clone(), what);
        answers.refused.extend(answer.refused.map(of));
        answers.rules.extend(answer.rule);
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
        let foreign = existing.map_or_else(Vec::new, |it| self.how.foreign(it.managed()));
        let live = self.live(cluster, target, manifest, &foreign).await?;
        let installed = self.installed_as(manifest);
        let by_hand = self.by_hand(manifest, &foreign, live.as_ref());
        let present = version.map(|version| Present {
            version,
            installed: installed.map(|it| &it.body),
            foreign: &foreign,
            live: live.as_ref(),
        });
        let asking = try_out(cluster, &self.how, target, body, present);
        let mut answer = match asking.await {
            Ok(Said::Yes) => Answer::default(),
            Ok(Said::OnlyAlone(error)) => {
                let answer = self.answered(manifest, &error);
                let mut answer = answer.ok_or_else(|| unsaid(&manifest.kind, error))?;
                let stays = stays(&by_hand, &foreign);
                answer.refused = answer.refused.map(|why| format!("{why} ({stays})"));
                answer
            }
            Err(error) => {
                let answer = self.answered(manifest, &error);
                answer.ok_or_else(|| unsaid(&manifest.kind, error))?
            }
        };
        answer.by_hand = by_hand;
        Ok(answer)
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
            answer.rule = error
                .rule()
                .filter(|_| error.lacks_a_right())
                .map(str::to_owned);
        }
        Some(answer)
    }

    // Reads the object only if somebody else set any of its fields, and never a Secret.
    async fn live(
        &self,
        cluster: &Cluster,
        target: &Target,
        manifest: &Manifest,
        foreign: &[Managed],
    ) -> Result<Option<Value>, Error> {
        if foreign.is_empty() || manifest.kind == "Secret" {
            return Ok(None);
        }
        match cluster.get_as::<Value>(target).await {
            Ok(live) => Ok(Some(live)),
            Err(error) if error.why() == Why::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    // The object as it was installed, if the release had it.
    fn installed_as(&self, manifest: &Manifest) -> Option<&Manifest> {
        let key = manifest.key(self.namespace);
        let mut all = self.installed?.iter();
        all.find(|it| it.key(self.namespace) == key)
    }

    fn by_hand(
        &self,
        manifest: &Manifest,
        foreign: &[Managed],
        live: Option<&Value>,
    ) -> Vec<ByHand> {
        let Some(live) = live else {
            return Vec::new();
        };
        let found = self.installed_as(manifest);
        let found = found.map_or(&Value::Null, |it| &it.body);
        let states = States {
            live,
            installed: self.installed.map(|_| found),
            wanted: Some(&manifest.body),
        };
        by_hand(foreign, states)
    }
}

fn stays(by_hand: &[ByHand], foreign: &[Managed]) -> String {
    let kept = by_hand.iter().filter(|it| it.fate == Fate::Kept);
    let fields: Vec<String> = kept.map(ToString::to_string).collect();
    if !fields.is_empty() {
        return format!("beside it stays {}", fields.join("; "));
    }
    let managers: BTreeSet<&str> = foreign.iter().map(Managed::manager).collect();
    let managers: Vec<&str> = managers.into_iter().collect();
    format!("beside it stays what {} set", managers.join(", "))
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
        // A webhook that fails is in the way of every write. Any other failure of the server's own
        // says nothing of the object.
        Why::Broken if !reason.contains("webhook") => None,
        Why::Refused | Why::Conflict | Why::Forbidden | Why::Broken
            if kind == "Secret" && !lacks_a_right(&reason) =>
        {
            Some("the API server refuses the Secret".to_owned())
        }
        Why::Broken => Some(reason),
        Why::Refused | Why::Conflict | Why::Forbidden | Why::NotFound => Some(reason),
        Why::Unreachable
        | Why::TimedOut
        | Why::Unauthorized
        | Why::Gone
        | Why::Busy
        | Why::Malformed => None,
    }
}

// What is said of an error that is no opinion of the object, such as one about a Secret.
fn unsaid(kind: &str, error: Error) -> Error {
    match error.why() == Why::Broken && kind == "Secret" {
        true => error.hushed(),
        false => error,
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
        let said = || "webhook: Invalid value: \"PRIVATE\"".to_owned();
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
    fn a_failure_of_the_servers_own_is_no_opinion_of_the_object_unless_a_webhook_fails() {
        let broken = |reason: &str| objection("Role", Why::Broken, reason.to_owned());
        let failure = "etcdserver: request timed out";
        assert_eq!(broken(failure), None);
        let of_secret = objection("Secret", Why::Broken, failure.to_owned());
        assert_eq!(of_secret, None);
        let webhook = "Internal error occurred: failed calling webhook \"w\": connection refused";
        assert_eq!(broken(webhook).as_deref(), Some(webhook));
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
}
