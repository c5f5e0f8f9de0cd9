//! Sends every object to the API server as a dry run before the first write.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use mesh_actor::{Ending, Outcome, refused};
use mesh_cluster::object::Bare;
use mesh_cluster::{Cluster, Error, Kinds, Options, Target, Why};
use mesh_records::StepName;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::apply::{MANAGER, placed};
use crate::gate::Goal;
use crate::plan::{Part, Write};
use crate::render::Manifest;
use crate::session::Session;

/// The number of dry runs that are sent at the same time.
const AT_ONCE: usize = 8;

/// What is asked about one object: where it goes, and how it will be written.
type Question<'a> = (Target, &'a Manifest, &'a Write);

/// Sends every object as a dry run; fails at the first refusal. Returns a sentence for the step.
pub(crate) async fn preflight(
    session: &mut Session<'_>,
    goal: &Goal,
    parts: &[&Part],
) -> Outcome<String> {
    session.begin(StepName::Preflight, "server-side dry run of every object")?;
    let cluster = Arc::clone(&session.cluster);
    let rehearsing = async {
        let (questions, unasked) = questions(&cluster, goal, parts).await?;
        let asked = questions.len();
        let answers = futures::stream::iter(questions).map(|(target, manifest, write)| {
            let cluster = &cluster;
            async move {
                match rehearse(cluster, &target, manifest, write).await? {
                    None => Ok(()),
                    Some(reason) => Err(refused(
                        format!("the API server would refuse {manifest}: {reason}"),
                        "fix the cause, then run the pipeline again",
                    )),
                }
            }
        });
        answers
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok::<_, Ending>((asked, unasked))
    };
    let (asked, unasked) = session.unless_stopped(rehearsing).await??;
    let rest = match unasked {
        0 => String::new(),
        count => {
            format!("; {count} more objects cannot be checked before their new CRDs are served")
        }
    };
    Ok(format!(
        "server-side dry run: all {asked} objects accepted{rest}"
    ))
}

// Returns also how many objects are of a kind that is not served before its definition is written.
async fn questions<'a>(
    cluster: &Cluster,
    goal: &Goal,
    parts: &[&'a Part],
) -> Outcome<(Vec<Question<'a>>, usize)> {
    let mut to_come = BTreeSet::new();
    for part in parts {
        to_come.extend(part.rendered.new_kinds());
    }
    let mut kinds = Kinds::default();
    let mut questions = Vec::new();
    let mut unasked = 0;
    for part in parts.iter().filter(|part| part.is_needed) {
        for manifest in &part.rendered.manifests {
            let (version, kind) = (&manifest.api_version, &manifest.kind);
            match cluster.kind(&mut kinds, version, kind).await? {
                Some(kind) => {
                    let target = kind.target(&manifest.body, &goal.namespace);
                    questions.push((target, manifest, &part.write));
                }
                None if to_come.contains(kind) => unasked += 1,
                None => return Err(unknown_kind(manifest)),
            }
        }
    }
    Ok((questions, unasked))
}

// Asks in the way in which the object will be written, and returns what the API server objects to.
async fn rehearse(
    cluster: &Cluster,
    target: &Target,
    manifest: &Manifest,
    write: &Write,
) -> Result<Option<String>, Error> {
    let manager = match write {
        Write::Helm(..) => "helm",
        Write::Apply => MANAGER,
    };
    let options = Options {
        dry_run: true,
        field_manager: Some(manager),
    };
    let body = placed(manifest.body.clone(), target);
    let mut answer = replace_or_create(cluster, target, body.clone(), options).await?;
    if answer.is_ok() && matches!(write, Write::Apply) {
        answer = match cluster.apply(target, &body, options).await {
            // What kubectl owns is still beside what is applied: the two together may not be valid.
            Err(error) if error.is_invalid() => Ok(()),
            applied => applied,
        };
    }
    match answer {
        Ok(()) => Ok(None),
        Err(error) => match objection(&manifest.kind, error.why(), error.reason()) {
            Some(reason) => Ok(Some(reason)),
            None => Err(error),
        },
    }
}

// Nothing but the metadata of an existing object is read.
async fn replace_or_create(
    cluster: &Cluster,
    target: &Target,
    mut body: Value,
    options: Options,
) -> Result<Result<(), Error>, Error> {
    match cluster.metadata::<Bare>(target).await {
        Ok(existing) => {
            body["metadata"]["resourceVersion"] = existing.meta.resource_version.into();
            let replaced = cluster.replace::<IgnoredAny>(target, &body, options);
            Ok(replaced.await.map(drop))
        }
        Err(error) if error.why() == Why::NotFound => {
            let all = target.collection();
            let created = cluster.create::<IgnoredAny>(&all, &body, options);
            Ok(created.await.map(drop))
        }
        Err(error) => Err(error),
    }
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

fn unknown_kind(manifest: &Manifest) -> Ending {
    refused(
        format!(
            "the API server does not know the kind of {manifest} ({})",
            manifest.api_version
        ),
        "check whether this Kubernetes is too old or too new for the target",
    )
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
}
