//! The way back to the version before, which is offered only if the API server would take it.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_actor::{Ending, Outcome};

use crate::installer::back::WayBack;
use crate::preflight::list;
use crate::rehearsal::{Answers, How, Rehearsal, ask};
use crate::session::Session;

/// Says why the API server would not take the way back now.
pub(crate) async fn obstacle(
    session: &mut Session<'_>,
    way_back: &WayBack,
) -> Outcome<Option<String>> {
    let revisit = match way_back {
        WayBack::Helm(revisit) => revisit,
        WayBack::Cli(_) => return Ok(None),
    };
    let cluster = Arc::clone(&session.cluster);
    let asking = async {
        let kept = revisit.helm.kept(revisit).await?;
        let rehearsal = Rehearsal {
            manifests: &kept.manifests,
            installed: None,
            how: How::Helm {
                merge: kept.merge,
                conflicts: revisit.conflicts,
                release: revisit.release.clone(),
            },
            namespace: &revisit.release.namespace,
        };
        let answers = ask(&cluster, &rehearsal, &BTreeSet::new()).await?;
        Ok::<_, anyhow::Error>(objections(&answers))
    };
    Ok(session.see_out(asking).await??)
}

fn objections(answers: &Answers) -> Option<String> {
    let Answers {
        unknown,
        refused,
        conflicts,
        ..
    } = answers;
    let unknown: Vec<String> = unknown
        .iter()
        .map(|it| format!("the API server does not know the kind of {it}"))
        .collect();
    let refused =
        (!refused.is_empty()).then(|| format!("the API server would refuse {}", list(refused)));
    let conflicts = (!conflicts.is_empty())
        .then(|| format!("somebody else has set fields: {}", list(conflicts)));
    let all: Vec<String> = unknown
        .into_iter()
        .chain(refused)
        .chain(conflicts)
        .collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Adds the way back to the ending of an upgrade that failed after the control plane was touched.
pub(crate) async fn offered(session: &mut Session<'_>, ending: Ending) -> Ending {
    let Ending::No(error) = ending else {
        return ending;
    };
    let Some(way_back) = session.way_back.clone() else {
        return Ending::No(error);
    };
    let command = way_back.command();
    let hint = match obstacle(session, &way_back).await {
        Ok(None) => format!("or go back with: {command}"),
        Ok(Some(obstacle)) => format!("there is no way back with `{command}` now: {obstacle}"),
        Err(left @ Ending::Left { .. }) => return left,
        Err(ending) => {
            let why = ending.reason().unwrap_or_default();
            format!("or go back with: {command} (it could not be rehearsed: {why})")
        }
    };
    let all = format!("{}; {hint}", error.hint());
    Ending::No(error.with_hint(all))
}
