//! Reads the control plane right before the first write, and checks that it is still the one that
//! the verdict is about.

use mesh_actor::gate::fresh;
use mesh_actor::{Ending, Outcome, refused};
use mesh_records::From as Seen;

use crate::args::Args;
use crate::gate::Goal;
use crate::installer::{self, Installer};
use crate::live::{Configuration, Live};
use crate::session::Session;

/// The control plane after the lock was taken, while no helm is at work on it.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) live: Live,
    pub(crate) installer: Installer,
}

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

/// Waits until no helm is at work on the control plane, and checks that it is still in the state
/// that the verdict saw.
pub(crate) async fn quiet_scene(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
) -> Outcome<(Scene, &'static str)> {
    let scene = still_scene(session, args, goal).await?;
    // Waiting for the lock and for helm may have taken long, so the verdict's age is checked again.
    if let Some(verdict) = &goal.verdict {
        fresh(verdict, session.run.here())?;
    }
    Ok(scene)
}

/// Like [`quiet_scene`], after consent: the verdict may have become old while the user was asked.
pub(crate) async fn still_scene(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
) -> Outcome<(Scene, &'static str)> {
    let (live, installer) = installer::quiet(session, args, &goal.namespace).await?;
    let scene = Scene { live, installer };
    let standing = standing(
        goal.from.as_ref(),
        scene.live.configuration(),
        scene.installer.began(),
        &goal.target,
    );
    match standing {
        Standing::AsSeen => Ok((scene, "the control plane has not changed")),
        Standing::Begun => Ok((
            scene,
            "the control plane is at the target or on its way there: continuing that upgrade",
        )),
        Standing::Changed => Err(changed(session, goal, &scene)),
    }
}

fn changed(session: &Session<'_>, goal: &Goal, scene: &Scene) -> Ending {
    let saw = goal.from.as_ref().map_or("?", |from| from.version.as_str());
    let is = scene.live.configuration().version.unwrap_or("not readable");
    let what = if saw == is {
        format!("linkerd-config was changed since the survey (the version is {is})")
    } else {
        format!("the verdict saw the control plane at {saw}, but now it is at {is}")
    };
    let again = session.run.again();
    refused(what, format!("run the whole pipeline again: {again}"))
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
