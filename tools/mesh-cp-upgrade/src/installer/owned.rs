//! One Helm release of a control plane.

use mesh_actor::{Ending, refused};
use mesh_cluster::{Cluster, Error};
use mesh_records::{Explained, Release};

use crate::anew::Content;
use crate::installer::driver::Kept;
use crate::installer::helm::Helm;
use crate::installer::history::History;
use crate::present::{lacking, missing, removed};
use crate::render::{Manifest, Rendered};

/// A release and its history.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) release: Release,
    pub(crate) history: History,
    /// What helm kept of it before the history was read.
    kept: Option<Kept>,
}

/// How an installed release differs from the cluster and from what is rendered.
pub(super) struct Differing {
    pub(super) removed: Vec<Manifest>,
    pub(super) restored: Vec<Manifest>,
}

// === impl Owned ===

impl Owned {
    /// Reads the history, unless helm keeps what it kept when the history was read that is `known`.
    pub(super) async fn read(
        cluster: &Cluster,
        helm: &Helm,
        release: &Release,
        known: Option<&Self>,
    ) -> anyhow::Result<Self> {
        let kept = helm.driver.kept(cluster, release).await?;
        let known = known.filter(|it| it.release == *release && it.kept == kept);
        match known.filter(|it| it.kept.is_some()) {
            Some(known) => Ok(known.clone()),
            None => Ok(Self {
                history: helm.history(release).await?,
                release: release.clone(),
                kept,
            }),
        }
    }

    /// Returns true if the newest revision is what was rendered. A chart's version says nothing of its
    /// content: a run that found other objects than were agreed to, or a chart that was packed again, is
    /// not at the target.
    pub(super) fn is_at(&self, rendered: &Rendered, installed: &[Manifest]) -> bool {
        let agreed = Content::of(&rendered.manifests);
        self.history.is_at(&rendered.chart) && Content::of(installed).differing(&agreed).is_empty()
    }

    /// Compares what is installed and what is rendered with the cluster. A deleted object stays in helm's
    /// manifest; an upgrade of helm restores it.
    pub(super) async fn compare(
        &self,
        cluster: &Cluster,
        (installed, rendered): (&[Manifest], &Rendered),
    ) -> Result<Differing, Error> {
        let (namespace, rendered) = (&self.release.namespace, &rendered.manifests);
        let new = lacking(rendered, installed, namespace);
        let known = rendered.iter().filter(|it| !new.contains(it));
        let (removed, restored) = futures::future::try_join(
            removed(cluster, installed, rendered, namespace),
            missing(cluster, known, namespace),
        )
        .await?;
        Ok(Differing { removed, restored })
    }

    pub(crate) fn name(&self) -> &str {
        &self.release.name
    }

    /// Ends the run, because the release can never be upgraded.
    pub(crate) fn gone(&self, helm: &Helm) -> Ending {
        let what = format!(
            "the helm release {} cannot be upgraded: {}",
            self.release.name,
            self.history.latest()
        );
        let list = helm.pasted(&["list", "-A", "--all"]);
        refused(what, format!("look at the release: {list}"))
    }

    /// Makes the error for a release that a helm died on.
    pub(super) fn stuck(&self, hint: String) -> Explained {
        let Self {
            release, history, ..
        } = self;
        let what = format!(
            "the helm release {} is stuck: {}; no helm process seems to work on it",
            release.name,
            history.latest()
        );
        Explained::new(what, hint)
    }
}
