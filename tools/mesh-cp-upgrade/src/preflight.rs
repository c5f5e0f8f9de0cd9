//! Sends every object to the API server as a dry run before the first write.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future;
use mesh_actor::{Ending, Outcome, refused};
use mesh_cluster::Kinds;
use mesh_cluster::control_plane::DEFINITIONS;
use mesh_cluster::object::{Deployment, Object as _};
use mesh_records::{Explained, StepName};
use serde_json::Value;

use crate::by_hand::ByHand;
use crate::component_pods::pods;
use crate::dry_write::How;
use crate::gate::Goal;
use crate::labelled::{Place, labelled};
use crate::new_kinds::{NewKind, new_kinds};
use crate::plan::{Part, Write};
use crate::rehearsal::{Answers, Rehearsal, ask};
use crate::render::{Conflicts, Manifest, Merge};
use crate::rights::{allow, lacking_of_helm};
use crate::room::without_room;
use crate::session::Session;
use crate::stored_versions::{Outdated, outdated};
use crate::webhooks::silent;

/// What the dry runs showed.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// A sentence for the step.
    pub(crate) said: String,
    /// Each object with a field that somebody set by hand.
    pub(crate) by_hand: Vec<(String, ByHand)>,
}

// What the upgrade writes and whose pods are asked for.
struct Coming<'a> {
    deployments: Vec<&'a Value>,
    /// The names of the service accounts that are written with them.
    accounts: Vec<&'a str>,
}

/// How many objects an error names.
const MOST: usize = 5;

/// Sends every object as a dry run, in the way in which it will be written. Fails if any is refused.
pub(crate) async fn preflight(
    session: &mut Session<'_>,
    goal: &Goal,
    parts: &[&Part],
) -> Outcome<Accepted> {
    session.begin(StepName::Preflight, "server-side dry run of every object")?;
    let mut to_come = BTreeSet::new();
    for part in parts {
        to_come.extend(new_kinds(&part.rendered.manifests));
    }
    let (mut asked, mut unasked, mut by_hand) = (0, 0, Vec::new());
    for part in parts.iter().filter(|part| part.is_needed) {
        let Some(how) = session.note(how(part))? else {
            continue;
        };
        let asking = answers(session, goal, part, how, &to_come).await?;
        let Some(mut answers) = asking else {
            continue;
        };
        definitions(session, part, &mut answers).await?;
        for finding in findings(&answers) {
            session.find(finding)?;
        }
        let coming = Coming {
            deployments: of_kind(part.restarting(&answers.by_hand), Deployment::RESOURCE.kind)
                .collect(),
            accounts: of_kind(&part.rendered.manifests, "ServiceAccount")
                .filter_map(name)
                .collect(),
        };
        admission(session, goal, &coming, &answers.refused).await?;
        asked += answers.asked;
        unasked += answers.unasked;
        by_hand.extend(answers.by_hand);
    }
    if parts
        .iter()
        .flat_map(|part| of_kind(&part.rendered.manifests, Deployment::RESOURCE.kind))
        .next()
        .is_none()
    {
        unrendered(session, goal).await?;
    }
    let rest = match unasked {
        0 => String::new(),
        count => {
            format!("; {count} more objects cannot be checked before their new CRDs are served")
        }
    };
    let said = format!("server-side dry run: all {asked} objects accepted{rest}");
    Ok(Accepted { said, by_hand })
}

// Asks about the objects of a part, and for the rights that this does not show.
async fn answers(
    session: &mut Session<'_>,
    goal: &Goal,
    part: &Part,
    how: How,
    to_come: &BTreeSet<NewKind>,
) -> Outcome<Option<Answers>> {
    let cluster = Arc::clone(&session.cluster);
    let rehearsal = Rehearsal {
        manifests: &part.rendered.manifests,
        installed: part.installed.as_deref(),
        how,
        namespace: &goal.namespace,
    };
    let asking = future::join(
        ask(&cluster, &rehearsal, to_come),
        lacking_of_helm(&cluster, part),
    );
    let (answers, lacking) = session.unless_stopped(asking).await?;
    let lacking = session.note(lacking.map_err(Ending::from))?;
    if let Some(finding) = lacking.flatten() {
        session.find(finding)?;
    }
    session.note(answers.map_err(Ending::from))
}

// Of a control plane that is not rendered yet, what is in the cluster tells what will be written.
async fn unrendered(session: &mut Session<'_>, goal: &Goal) -> Outcome<()> {
    let cluster = Arc::clone(&session.cluster);
    let (mut kinds, kind) = (Kinds::default(), Deployment::RESOURCE);
    let reading = labelled(
        &cluster,
        &mut kinds,
        &goal.namespace,
        kind,
        Place::Namespace,
    );
    let live = session.unless_stopped(reading).await??;
    let coming = Coming {
        deployments: live.iter().collect(),
        accounts: Vec::new(),
    };
    admission(session, goal, &coming, &[]).await
}

// Finds the definitions that the API server refuses without a way out.
async fn definitions(session: &mut Session<'_>, part: &Part, answers: &mut Answers) -> Outcome<()> {
    let cluster = Arc::clone(&session.cluster);
    let outdated = session.unless_stopped(outdated(&cluster, &part.rendered.manifests));
    for Outdated { name, finding } in outdated.await?? {
        let object = format!("{} {name}", DEFINITIONS.kind);
        answers.refused.retain(|(refused, _)| *refused != object);
        session.find(finding)?;
    }
    Ok(())
}

fn of_kind<'a>(manifests: &'a [Manifest], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let manifests = manifests.iter().filter(move |it| it.kind == kind);
    manifests.map(|it| &it.body)
}

fn name(body: &Value) -> Option<&str> {
    body["metadata"]["name"].as_str()
}

// Finds what would refuse the components' pods, which the dry run of a Deployment does not create: the
// API server is asked for such pods, and the webhooks that it does not call in a dry run are read.
async fn admission(
    session: &mut Session<'_>,
    goal: &Goal,
    coming: &Coming<'_>,
    refused: &[(String, String)],
) -> Outcome<()> {
    let cluster = Arc::clone(&session.cluster);
    let Coming {
        deployments,
        accounts,
    } = coming;
    let looking = future::join(
        silent(&cluster, &goal.namespace, deployments),
        pods(&cluster, &goal.namespace, deployments, accounts),
    );
    let (silent, mut pods) = session.unless_stopped(looking).await?;
    let names = |name: &str, (_, why): &(String, String)| why.contains(name);
    for (name, finding) in silent.found {
        pods.refused.retain(|refusal| !names(&name, refusal));
        // A webhook for Deployments is called in a dry run, too.
        if !refused.iter().any(|refusal| names(&name, refusal)) {
            session.foresee(finding)?;
        }
    }
    if !pods.refused.is_empty() {
        session.foresee(Explained::new(
            format!(
                "the API server would refuse pods of the control plane: {}",
                list(&pods.refused)
            ),
            "let what refuses them admit the pods of the control plane's namespace, then run the \
             pipeline again",
        ))?;
    }
    crowded(session, &pods.crowded)?;
    // What goes back after a failure is in a hurry.
    let coming = match session.goes_back {
        true => &[][..],
        false => &pods.coming,
    };
    let looking = without_room(&cluster, coming);
    let nodes = match session.unless_stopped(looking).await? {
        Ok(without) => full(session, &without).map(|()| None)?,
        Err(error) => Some(error),
    };
    let unread = [
        ("webhooks", silent.unread),
        ("pods", pods.unread),
        ("nodes", nodes),
    ];
    for (what, error) in unread {
        match error {
            None => {}
            // What goes back after a failure is not held up by what it cannot foresee.
            Some(error) if error.rule().is_some() || session.goes_back => session.run.blind(what),
            Some(error) => return Err(error.into()),
        }
    }
    Ok(())
}

// The quota may have room when the pods are created.
fn crowded(session: &mut Session<'_>, pods: &[(String, String)]) -> Outcome<()> {
    if pods.is_empty() {
        return Ok(());
    }
    let what = format!(
        "a quota has no room for new pods of the control plane: {}",
        list(pods)
    );
    let hint = "make room in the quota, or raise it: a component cannot restart before";
    session.remark(Err(Explained::new(what, hint).into()))
}

// A node may have room when the pods are created, or an autoscaler may add one.
fn full(session: &mut Session<'_>, pods: &[(String, String)]) -> Outcome<()> {
    if pods.is_empty() {
        return Ok(());
    }
    let what = format!(
        "no node has room for a new pod of the control plane: {}",
        list(pods)
    );
    let hint = "make room on a node, or add one: a component cannot restart before; a run waits for \
                it, such as for an autoscaler, up to its --timeout";
    session.remark(Err(Explained::new(what, hint).into()))
}

fn how(part: &Part) -> Outcome<How> {
    match &part.write {
        Write::Apply => Ok(How::Apply),
        Write::Helm(helming) => {
            let merge = part.rendered.merge;
            if helming.conflicts() == Conflicts::Overwritten && merge == Merge::ThreeWay {
                return Err(refused(
                    format!(
                        "helm does not apply {} on the server, so that there are no conflicts to \
                         force: it overwrites such fields by itself",
                        part.name
                    ),
                    "leave out --force-conflicts",
                ));
            }
            Ok(How::Helm {
                merge,
                conflicts: helming.conflicts(),
                release: helming.release().clone(),
            })
        }
    }
}

fn findings(answers: &Answers) -> Vec<Explained> {
    let unknown = answers.unknown.first().map(|unknown| {
        Explained::new(
            format!("the API server does not know the kind of {unknown}"),
            "check whether this Kubernetes is too old or too new for the target",
        )
    });
    let refused = (!answers.refused.is_empty()).then(|| {
        Explained::new(
            format!("the API server would refuse {}", list(&answers.refused)),
            match answers.rules.is_empty() {
                true => "fix the cause, then run the pipeline again".to_owned(),
                false => allow(answers.rules.iter().map(String::as_str)),
            },
        )
    });
    let conflicts = (!answers.conflicts.is_empty()).then(|| {
        Explained::new(
            format!(
                "helm may not change fields that somebody else has set: {}",
                list(&answers.conflicts)
            ),
            "put what is set there into the values, so that helm sets the same; or let helm overwrite \
             it with --force-conflicts",
        )
    });
    unknown
        .into_iter()
        .chain(refused)
        .chain(conflicts)
        .collect()
}

/// Lists objects with what is said of each.
pub(crate) fn list(all: &[(String, String)]) -> String {
    let shown = all.iter().take(MOST);
    let shown: Vec<String> = shown
        .map(|(object, what)| format!("{object}: {what}"))
        .collect();
    let rest = match all.len().saturating_sub(MOST) {
        0 => String::new(),
        count => format!("; and {count} more"),
    };
    format!("{}{rest}", shown.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(change: impl FnOnce(&mut Answers)) -> Option<String> {
        let mut answers = Answers::default();
        change(&mut answers);
        findings(&answers).first().map(ToString::to_string)
    }

    #[test]
    fn every_conflict_and_every_refusal_is_named_up_to_a_number() {
        assert_eq!(found(|_| ()), None);
        let some = |count: usize| -> Vec<(String, String)> {
            let one = |number| (format!("Deployment d{number}"), "why".to_owned());
            (1..=count).map(one).collect()
        };
        let said = found(|it| it.conflicts = some(2)).unwrap();
        assert!(
            said.ends_with("set: Deployment d1: why; Deployment d2: why"),
            "{said}"
        );
        let said = found(|it| it.refused = some(7)).unwrap();
        assert!(said.ends_with("Deployment d5: why; and 2 more"), "{said}");
        let said = found(|it| it.unknown = vec!["K k (v1)".to_owned()]).unwrap();
        assert!(said.contains("K k (v1)"), "{said}");
    }
}
