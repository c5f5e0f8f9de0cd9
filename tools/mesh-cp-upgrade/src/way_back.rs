//! The way back to the version before, which is offered only if the API server would take it.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context as _;
use mesh_actor::{AGAIN, Ending, Outcome};
use mesh_cli::DryRun;
use mesh_cluster::Cluster;
use mesh_records::{Explained, StepName};
use tokio::task::JoinSet;

use crate::args::Args;
use crate::dry_write::How;
use crate::installer::back::{NO_REVISION, Revisit, WayBack};
use crate::preflight::list;
use crate::rehearsal::{Answers, Rehearsal, ask};
use crate::session::Session;

/// The question whether the API server would take a way back, which is asked beside what the run does
/// meanwhile. Dropping it ends it.
#[derive(Debug, Default)]
pub(crate) struct Asking(JoinSet<anyhow::Result<Option<String>>>);

impl Asking {
    /// Begins to ask.
    pub(crate) fn begin(session: &Session<'_>, way_back: &WayBack) -> Self {
        let mut asking = Self::default();
        // Of a way back by the linkerd CLI, nobody can ask.
        if let WayBack::Helm(revisit) = way_back {
            let (cluster, revisit) = (Arc::clone(&session.cluster), Revisit::clone(revisit));
            let looking = async move { rehearsed(&cluster, &revisit).await };
            asking.0.spawn(looking);
        }
        asking
    }

    /// Says why the API server would not take the way back now.
    pub(crate) async fn obstacle(mut self, session: &mut Session<'_>) -> Outcome<Option<String>> {
        match session.see_out(self.0.join_next()).await? {
            Some(said) => Ok(said.context("cannot rehearse the way back")??),
            None => Ok(None),
        }
    }
}

/// Begins to ask whether there is a way back.
pub(crate) fn rehearsing(session: &Session<'_>, args: &Args, way_back: Option<&WayBack>) -> Asking {
    match args.actor.consent.dry_run {
        DryRun::Client => Asking::default(),
        DryRun::None | DryRun::Server => {
            way_back.map_or_else(Asking::default, |it| Asking::begin(session, it))
        }
    }
}

/// Says whether there is a way back. Returns why there is none.
pub(crate) async fn say_way_back(
    session: &mut Session<'_>,
    way_back: Option<&WayBack>,
    asking: Asking,
) -> Outcome<Option<String>> {
    session.begin(StepName::Backup, "looking for a revision to go back to")?;
    let Some(way_back) = way_back else {
        session.done(NO_REVISION)?;
        return Ok(Some(NO_REVISION.to_owned()));
    };
    let command = way_back.command();
    match asking.obstacle(session).await? {
        None => session.done(&way_back.offered("to go back"))?,
        Some(why) => {
            let none = format!("`{command}` would fail: {why}");
            session.done(&format!("there is no way back: {none}"))?;
            return Ok(Some(none));
        }
    }
    Ok(None)
}

async fn rehearsed(cluster: &Cluster, revisit: &Revisit) -> anyhow::Result<Option<String>> {
    // helm takes away what its newest revision has and the revision to go back to has not.
    let (kept, newest) = futures::future::try_join(
        revisit.helm.kept(revisit),
        revisit.helm.installed(&revisit.release, None),
    )
    .await?;
    let rehearsal = Rehearsal {
        manifests: &kept.manifests,
        installed: Some(&newest),
        how: How::Helm {
            merge: kept.merge,
            conflicts: revisit.conflicts,
            release: revisit.release.clone(),
        },
        namespace: &revisit.release.namespace,
    };
    let answers = ask(cluster, &rehearsal, &BTreeSet::new()).await?;
    Ok(objections(&answers))
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

/// Adds the way back to the ending of a run that touched the control plane and did not see it proven.
pub(crate) async fn offered(session: &mut Session<'_>, ending: Ending) -> Ending {
    let Some(way_back) = session.way_back.clone() else {
        return ending;
    };
    match ending {
        Ending::Done { .. } | Ending::Skipped(_) => ending,
        // Whoever stopped the run waits for its end.
        Ending::Stopped(error) => {
            let hint = format!("{}; {}", error.hint(), way_back.offered("or go back"));
            Ending::Stopped(error.with_hint(hint))
        }
        Ending::Left { signal, reason } => Ending::Left {
            signal,
            reason: format!("{reason}; {}", way_back.offered("to go back")),
        },
        Ending::No(error) => match hint(session, &way_back, &error).await {
            Ok(hint) => Ending::No(error.with_hint(hint)),
            Err(left) => left,
        },
        Ending::Failed(error) => {
            let error = explained(&error);
            match hint(session, &way_back, &error).await {
                Ok(hint) => Ending::Failed(error.with_hint(hint).into()),
                Err(left) => left,
            }
        }
    }
}

async fn hint(
    session: &mut Session<'_>,
    way_back: &WayBack,
    error: &Explained,
) -> Result<String, Ending> {
    let command = way_back.command();
    let hint = match Asking::begin(session, way_back).obstacle(session).await {
        Ok(None) => way_back.offered("or go back"),
        Ok(Some(obstacle)) => format!("there is no way back with `{command}` now: {obstacle}"),
        Err(left @ Ending::Left { .. }) => return Err(left),
        Err(ending) => {
            let why = ending.reason().unwrap_or_default();
            format!("or go back: {command} (it could not be rehearsed: {why})")
        }
    };
    Ok(match error.hint().is_empty() {
        true => hint,
        false => format!("{}; {hint}", error.hint()),
    })
}

/// Makes one error of a chain of them, with the hint of the innermost that has one.
pub(crate) fn explained(error: &anyhow::Error) -> Explained {
    let known = error
        .chain()
        .filter_map(|it| it.downcast_ref::<Explained>());
    let known = known.last();
    let hint = known.map_or(AGAIN, Explained::hint);
    let whole = Explained::new(format!("{error:#}"), hint);
    match known.and_then(Explained::next) {
        Some(next) => whole.with_next(next),
        None => whole,
    }
}
