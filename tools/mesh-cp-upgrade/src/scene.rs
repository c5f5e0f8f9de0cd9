//! The control plane right before it is written to, and whether it is still the one that the
//! verdict is about.

use mesh_actor::gate::fresh;
use mesh_actor::{Ending, Outcome, refused};
use mesh_records::From as Seen;

use crate::args::Args;
use crate::gate::Goal;
use crate::installer::{self, Installer};
use crate::live::{Configuration, Live};
use crate::session::Session;

/// The control plane under the lock, with no helm at work on it.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) live: Live,
    pub(crate) installer: Installer,
}

// How the control plane stands to what the verdict saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Exactly as it was seen.
    AsSeen,
    /// At the target, or on the way there: an earlier run is carried on with.
    Begun,
    /// Something else.
    Changed,
}

/// The control plane with no helm at work on it, if it is still the one that the verdict is about.
pub(crate) async fn quiet_scene(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
) -> Outcome<(Scene, &'static str)> {
    let (live, installer) = installer::quiet(session, args, &goal.namespace).await?;
    let scene = Scene { live, installer };
    // Locks and helms may have been waited for, for long.
    if let Some(verdict) = &goal.verdict {
        fresh(verdict, session.run.here())?;
    }
    let standing = standing(
        goal.from.as_ref(),
        scene.live.configuration(),
        scene.installer.began(),
        &goal.target,
    );
    match standing {
        Standing::AsSeen => Ok((scene, "the control plane is as it was seen")),
        Standing::Begun => Ok((
            scene,
            "the control plane is at the target or on the way there: carrying on",
        )),
        Standing::Changed => Err(changed(goal, &scene)),
    }
}

fn changed(goal: &Goal, scene: &Scene) -> Ending {
    let saw = goal.from.as_ref().map_or("?", |from| from.version.as_str());
    let is = scene.live.configuration().version.unwrap_or("not readable");
    let what = if saw == is {
        format!("the configuration of the control plane was changed since the survey ({is})")
    } else {
        format!("the verdict saw the control plane at {saw}, and it is {is}")
    };
    refused(
        what,
        "survey and judge again: mesh-survey | mesh-skewcheck --to VERSION",
    )
}

// How the control plane stands to the verdict's `from`, where an upgrade to `began` was begun last;
// without a verdict, as it is.
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
    fn what_was_begun_is_carried_on_with_and_what_changed_is_not() {
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
