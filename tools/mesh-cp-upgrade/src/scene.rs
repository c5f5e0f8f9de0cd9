//! Looks at the control plane under the lock, and checks that it is still the one that the verdict
//! is about; after consent, right before each part is written, checks that it is still the one that
//! was shown.

use std::sync::Arc;

use mesh_actor::gate::fresh;
use mesh_actor::{Ending, Outcome, Taken, refused};
use mesh_cluster::{Error, Why};
use mesh_records::{Explained, From as Seen, StepName};

use crate::args::Args;
use crate::gate::Goal;
use crate::identity::Identity;
use crate::installer::{self, Installer};
use crate::live::{Configuration, Live, look};
use crate::session::Session;
use crate::shown::{Shown, Written};

/// The control plane after the lock was taken, while no helm is at work on it.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) live: Live,
    pub(crate) installer: Installer,
    /// The identity settings; `None` if they cannot be read.
    pub(crate) identity: Option<Identity>,
    pub(crate) shown: Shown,
}

/// What cannot be looked at where nothing can be rendered.
pub(crate) const UNRENDERED: [(StepName, &str); 4] = [
    (StepName::Render, "the charts"),
    (StepName::Identity, "the identity settings"),
    (StepName::Preflight, "the dry run of each object"),
    (StepName::Backup, "the way back"),
];

const CHANGED: &str = "the control plane has changed since it was shown";

// How the control plane compares with what the verdict saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The control plane is exactly as the verdict saw it.
    AsSeen,
    /// The control plane is at the target or on the way to it: this run continues an earlier one.
    Begun,
    /// Somebody changed it otherwise.
    Changed,
}

// Waits until no helm is at work on the control plane, and checks that it is still in the state that
// the verdict saw.
async fn quiet_scene(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
) -> Outcome<(Scene, &'static str)> {
    let scene = look_around(session, args, goal, None).await?;
    let message = match scene.standing(goal.from.as_ref(), goal) {
        Standing::AsSeen => "the control plane has not changed",
        Standing::Begun => {
            "the control plane is at the target or on its way there: continuing that upgrade"
        }
        Standing::Changed => {
            session.find(changed(session, goal, &scene))?;
            ""
        }
    };
    // Waiting for the lock and for helm may have taken long, so the verdict's age is checked again.
    still_fresh(session, goal)?;
    Ok((scene, message))
}

/// Takes the lock, and looks at the control plane under it.
pub(crate) async fn under_lock(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
) -> Outcome<Scene> {
    let Goal {
        namespace, target, ..
    } = goal;
    let take = match session.run.is_dry() {
        true => "would take",
        false => "taking",
    };
    let message = format!("{take} the lock of the control plane in {namespace}");
    session.begin(StepName::Lock, &message)?;
    // A missing namespace has no control plane and no lock, so look before taking the lock.
    let cluster = Arc::clone(&session.cluster);
    let looking = look(&cluster, namespace);
    let live = session.unless_stopped(looking).await??;
    if session.run.is_dry() {
        let may_lock = session.run.may_lock(namespace).await;
        if session.note(may_lock)?.is_some() {
            let is_free = session.run.lock_is_free(namespace).await;
            session.remark(is_free)?;
        }
    }
    // Last, so that what is not checked then is said to be because of it.
    let usable = installer::check(session, args, goal, &live).await;
    let usable = session.note(usable)?;
    let mut took_over = String::new();
    if usable.is_some() && !session.run.is_dry() {
        let longest = args.timeout.saturating_add(args.settle);
        let taking = session.run.take_lock(namespace, target, longest);
        let Taken { lock, expired } = session.unless_stopped(taking).await??;
        session.run.hold(lock);
        if let Some(holder) = expired {
            took_over = format!("; took over an expired lock, left behind by {holder}");
        }
    }
    if usable.is_none() {
        return Err(session.unchecked(&UNRENDERED));
    }
    let quiet = quiet_scene(session, args, goal).await;
    let Some((scene, message)) = session.note(quiet)? else {
        return Err(session.unchecked(&UNRENDERED));
    };
    session.done(&format!("{message}{took_over}"))?;
    Ok(scene)
}

/// Looks again, after consent and right before a write. Fails unless the control plane is as it was
/// shown, the verdict is young enough, and the lock is still this run's.
pub(crate) async fn still_shown(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    shown: &Scene,
) -> Outcome<Scene> {
    let looking = look_around(session, args, goal, Some(&shown.installer)).await;
    let scene = looking.map_err(|ending| ending.after("another look before the write"))?;
    if let Some(what) = shown.shown.changed(&scene.shown, &session.since) {
        return Err(not_as_shown(session, &what));
    }
    still_fresh(session, goal)?;
    session.run.confirm_lock().await?;
    Ok(scene)
}

/// Looks again after another helm wrote a release first. Fails unless that is an earlier run's helm,
/// which upgrades the same control plane to the same target.
pub(crate) async fn overtaken_scene(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    shown: &Scene,
) -> Outcome<Scene> {
    let scene = look_around(session, args, goal, Some(&shown.installer)).await?;
    if let Some(what) = shown.shown.changed_settings(&scene.shown) {
        return Err(not_as_shown(session, &what));
    }
    if let Some(what) = shown.shown.changed(&scene.shown, &Written::Nothing)
        && scene.standing(Some(&shown.seen()), goal) == Standing::Changed
    {
        return Err(not_as_shown(session, &what));
    }
    still_fresh(session, goal)?;
    session.run.confirm_lock().await?;
    Ok(scene)
}

/// Waits until no helm is at work on the control plane, and looks at it. `known` is what an earlier
/// look found.
pub(crate) async fn look_around(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    known: Option<&Installer>,
) -> Outcome<Scene> {
    let (live, installer) = installer::quiet(session, args, &goal.namespace, known).await?;
    let cluster = Arc::clone(&session.cluster);
    let reading = async {
        let identity = readable(live.identity(&cluster).await)?;
        let stored = installer.stored(&cluster, &goal.namespace).await?;
        Ok::<_, Ending>((identity, stored))
    };
    let (identity, stored) = session.unless_stopped(reading).await??;
    let shown = Shown::new(
        &live.installed,
        live.configuration(),
        identity.as_ref(),
        installer.revisions(),
        stored.as_deref(),
    );
    Ok(Scene {
        live,
        installer,
        identity,
        shown,
    })
}

// Only an answer counts as "not readable"; a server that does not answer ends the run.
fn readable(identity: anyhow::Result<Identity>) -> anyhow::Result<Option<Identity>> {
    match identity {
        Ok(identity) => Ok(Some(identity)),
        Err(error) => match error.downcast_ref::<Error>().map(Error::why) {
            None | Some(Why::NotFound | Why::Forbidden) => Ok(None),
            Some(_) => Err(error),
        },
    }
}

fn still_fresh(session: &Session<'_>, goal: &Goal) -> Outcome<()> {
    if let Some(verdict) = &goal.verdict {
        fresh(verdict, session.run.here())?;
    }
    Ok(())
}

fn not_as_shown(session: &Session<'_>, what: &str) -> Ending {
    let again = session.run.again();
    refused(
        format!("{CHANGED}: {what}"),
        format!("see who changes it, then run the whole pipeline again: {again}"),
    )
}

// === impl Scene ===

impl Scene {
    /// Returns what of this a verdict would have seen.
    pub(crate) fn seen(&self) -> Seen {
        let Configuration {
            version,
            resource_version,
        } = self.live.configuration();
        Seen {
            version: version.unwrap_or_default().to_owned(),
            config_resource_version: Some(resource_version.to_owned()),
        }
    }

    fn standing(&self, from: Option<&Seen>, goal: &Goal) -> Standing {
        let is = self.live.configuration();
        standing(from, is, self.installer.began(), &goal.target)
    }
}

fn changed(session: &Session<'_>, goal: &Goal, scene: &Scene) -> Explained {
    let saw = goal.from.as_ref().map_or("?", |from| from.version.as_str());
    let is = scene.live.configuration().version.unwrap_or("not readable");
    let what = if saw == is {
        format!("linkerd-config was changed since the survey (the version is {is})")
    } else {
        format!("the verdict saw the control plane at {saw}, but now it is at {is}")
    };
    let again = session.run.again();
    Explained::new(what, format!("run the whole pipeline again: {again}"))
}

// Compares the control plane with the verdict's `from`. `began` is the version of the last upgrade
// that was begun. Without a verdict every state counts as seen.
fn standing(
    from: Option<&Seen>,
    is: Configuration<'_>,
    began: Option<&str>,
    target: &str,
) -> Standing {
    let Some(from) = from else {
        return Standing::AsSeen;
    };
    let same_version = is.version == Some(&from.version);
    let same_config = from.config_resource_version.as_deref() == Some(is.resource_version);
    if same_version && same_config {
        return Standing::AsSeen;
    }
    if is.version == Some(target) || began == Some(target) {
        return Standing::Begun;
    }
    Standing::Changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_is_as_seen_begun_or_changed() {
        use Standing::{AsSeen, Begun, Changed};
        let from = Seen {
            version: "stable-2.13.7".into(),
            config_resource_version: Some("7".into()),
        };
        let (old, new) = ("stable-2.13.7", "stable-2.14.10");
        let (older, between) = ("stable-2.13.6", "stable-2.14.9");
        let unseen = Seen {
            config_resource_version: None,
            ..from.clone()
        };
        let (from, unseen) = (Some(&from), Some(&unseen));
        // what the verdict saw, live version, live resourceVersion, the version begun last
        let table = [
            (from, Some(old), "7", old, AsSeen),
            (from, Some(old), "7", new, AsSeen),
            (from, Some(old), "8", old, Changed),
            (from, Some(old), "8", new, Begun),
            (from, Some(new), "9", new, Begun),
            (from, Some(older), "9", older, Changed),
            (from, Some(between), "9", between, Changed),
            (from, None, "7", old, Changed),
            (unseen, Some(old), "7", old, Changed),
            (None, Some(old), "7", old, AsSeen),
        ];
        for (number, (from, version, resource_version, began, expected)) in
            table.into_iter().enumerate()
        {
            let is = Configuration {
                version,
                resource_version,
            };
            assert_eq!(
                standing(from, is, Some(began), new),
                expected,
                "row {number}"
            );
        }
    }
}
