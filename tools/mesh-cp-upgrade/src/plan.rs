//! What an upgrade will do, and with which commands.

use mesh_actor::{AGAIN, Ending};
use mesh_records::{Explained, Release};

use crate::by_hand::{ByHand, Fate};
use crate::child::Writer;
use crate::expected::Expected;
use crate::identity::{Change, Key};
use crate::installer::back::{Revisit, WayBack};
use crate::installer::helm::{Helm, Upgrade};
use crate::render::{Conflicts, Manifest, Rendered, crds};
use crate::values::Difference;

/// The plan of the upgrade.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) crds: Part,
    pub(crate) control_plane: Part,
    pub(crate) components: Vec<Expected>,
    /// The proxy version that the injector will give after the upgrade.
    pub(crate) injects: String,
    pub(crate) changes: Vec<Change>,
    /// The fields that somebody set by hand, with their objects.
    pub(crate) by_hand: Vec<(String, ByHand)>,
    /// Why there is no way back.
    pub(crate) no_way_back: Option<String>,
}

/// Both rendered parts of the upgrade.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) crds: Part,
    pub(crate) control_plane: Part,
    /// The hint if another version than the target was rendered.
    pub(crate) hint: &'static str,
}

/// What can be rendered before the first write.
#[derive(Debug)]
pub(crate) enum Staged<T> {
    /// Everything.
    Whole(T),
    /// The definitions alone: the linkerd CLI renders the control plane only when they are in the
    /// cluster.
    Definitions(Box<Definitions>),
}

/// The definitions that are written before the control plane can be rendered.
#[derive(Debug)]
pub(crate) struct Definitions {
    pub(crate) part: Part,
    /// What the cluster lacks: definitions, and versions of definitions.
    pub(crate) missing: Vec<String>,
    /// The fields of the definitions and of the control plane that somebody set by hand.
    pub(crate) by_hand: Vec<(String, ByHand)>,
    pub(crate) rest: Rest,
}

/// What is known of the control plane before it is rendered.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    pub(crate) essence: String,
    pub(crate) way_back: WayBack,
}

/// One part of the upgrade: the definitions or the control plane.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// The command that upgrades the part, or whose output is applied, for people.
    pub(crate) command: Vec<String>,
    /// The command for the digest: without names that decide nothing.
    pub(crate) essence: String,
    pub(crate) rendered: Rendered,
    /// The objects as they were installed, if the installer keeps them.
    pub(crate) installed: Option<Vec<Manifest>>,
    /// The values that change against those that the release was given, or of the linkerd CLI against all
    /// that the control plane has.
    pub(crate) values: Vec<Difference>,
    /// The objects that helm deletes, because the new chart lacks them.
    pub(crate) removed: Vec<Manifest>,
    /// The objects that helm installed and that somebody deleted since.
    pub(crate) restored: Vec<Manifest>,
    pub(crate) is_needed: bool,
    /// Whether only what was deleted is written anew, so that nothing else restarts.
    pub(crate) only_restores: bool,
    pub(crate) way_back: Option<WayBack>,
    pub(crate) write: Write,
}

/// How the part is written.
#[derive(Debug)]
pub(crate) enum Write {
    /// helm, by itself.
    Helm(Box<Helming>),
    /// This tool applies the objects one by one.
    Apply,
}

/// A write by helm, and the release's state before it.
#[derive(Clone, Debug)]
pub(crate) struct Helming {
    pub(crate) helm: Helm,
    pub(crate) deed: Doing,
    /// The release's newest revision before the write.
    pub(crate) over: u32,
}

/// What helm does with a release.
#[derive(Clone, Debug)]
pub(crate) enum Doing {
    Upgrade(Box<Upgrade>),
    Rollback(Box<Revisit>),
}

// === impl Part ===

impl Part {
    /// Makes a part of a release of helm's that is not written.
    pub(crate) fn unneeded(release: &Release, rendered: Rendered, write: Write) -> Self {
        Self {
            name: format!("{}/{}", release.namespace, release.name),
            command: Vec::new(),
            essence: String::new(),
            rendered,
            installed: None,
            values: Vec::new(),
            removed: Vec::new(),
            restored: Vec::new(),
            is_needed: false,
            only_restores: false,
            way_back: None,
            write,
        }
    }

    /// Returns the objects that are written otherwise than they are, as far as that restarts pods.
    pub(crate) fn restarting(&self, by_hand: &[(String, ByHand)]) -> &[Manifest] {
        let is_overwritten = |(object, field): &(String, ByHand)| {
            let is_of_pods =
                object.starts_with("Deployment ") && field.field.starts_with(".spec.template");
            is_of_pods && matches!(field.fate, Fate::Overwritten(_))
        };
        match self.only_restores && !by_hand.iter().any(is_overwritten) {
            true => &self.restored,
            false => &self.rendered.manifests,
        }
    }

    /// Says that this part is written.
    pub(crate) fn written(&self) -> String {
        let Self { name, rendered, .. } = self;
        let are = match name.starts_with("the ") && name.ends_with('s') {
            true => "are",
            false => "is",
        };
        format!("{name} {are} at {}", rendered.chart)
    }
}

// === impl Helming ===

impl Helming {
    pub(crate) fn release(&self) -> &Release {
        match &self.deed {
            Doing::Upgrade(upgrade) => &upgrade.release,
            Doing::Rollback(revisit) => &revisit.release,
        }
    }

    pub(crate) fn conflicts(&self) -> Conflicts {
        match &self.deed {
            Doing::Upgrade(upgrade) => upgrade.conflicts,
            Doing::Rollback(revisit) => revisit.conflicts,
        }
    }

    /// Starts helm.
    pub(crate) fn start(&self) -> anyhow::Result<Writer> {
        match &self.deed {
            Doing::Upgrade(upgrade) => self.helm.upgrade(upgrade),
            Doing::Rollback(revisit) => self.helm.roll_back(&revisit.words()),
        }
    }

    /// Returns what helm would write now of what was agreed to.
    pub(crate) async fn render(&self, agreed: &Rendered) -> anyhow::Result<Rendered> {
        match &self.deed {
            Doing::Upgrade(upgrade) => self.helm.render_again(upgrade, agreed).await,
            Doing::Rollback(revisit) => self.helm.kept(revisit).await,
        }
    }

    /// Returns what helm does to a part, in words: before it, and in an error.
    pub(crate) fn words(&self) -> (&'static str, &'static str) {
        match &self.deed {
            Doing::Upgrade(_) => ("upgrading", "could not upgrade"),
            Doing::Rollback(_) => ("rolling back", "could not roll back"),
        }
    }
}

// === impl Staged ===

impl Staged<Plan> {
    /// Returns true if nothing has to be written.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Whole(plan) => plan.is_done(),
            Self::Definitions(_) => false,
        }
    }
}

// === impl Plan ===

impl Plan {
    /// Returns true if nothing has to be written.
    pub(crate) fn is_done(&self) -> bool {
        !self.crds.is_needed && !self.control_plane.is_needed
    }

    /// Returns the definitions that helm would delete. All objects of their kinds would be deleted too.
    pub(crate) fn losses(&self) -> Option<Change> {
        let removed = self.crds.removed.iter().chain(&self.control_plane.removed);
        let lost = crds(removed);
        (!lost.is_empty()).then(|| {
            let lost: Vec<&str> = lost.into_iter().collect();
            Change {
                key: Key::Crds,
                from: "installed".to_owned(),
                to: format!("deleted with all their objects ({})", lost.join(", ")),
                known_as: None,
            }
        })
    }
}

/// Returns the images that stay as they are `today` and of which nothing shows that they are of another
/// release.
pub(crate) fn unmoved(components: &[Expected], today: &[Expected]) -> Option<Change> {
    let images: Vec<String> = components
        .iter()
        .filter_map(|component| {
            let today = today.iter().find(|it| it.name == component.name)?;
            let image = component.unmoved(today)?;
            Some(format!("{image} of {}", component.name))
        })
        .collect();
    let images = images.join(", ");
    (!images.is_empty()).then(|| Change {
        key: Key::Images,
        from: images.clone(),
        to: images,
        known_as: Some("cannot tell whether an image is of the target, because it is the same as today and its tag is no \
              Linkerd version"),
    })
}

/// Makes the ending of an upgrade that has failed. The old pods of unready components still run, so
/// going back is only a hint.
pub(crate) fn failed(why: &str) -> Ending {
    let hint = format!("fix the cause, then {AGAIN}");
    Ending::No(Explained::new(format!("the upgrade failed: {why}"), hint))
}
