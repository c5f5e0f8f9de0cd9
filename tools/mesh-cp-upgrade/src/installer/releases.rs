//! The two Helm releases of a control plane, and which of them need an upgrade.

use std::sync::Arc;

use mesh_actor::{AGAIN, Ending, Outcome, hinted, refused};
use mesh_cluster::{Cluster, Error};
use mesh_records::Release;

use crate::args::Args;
use crate::gate::Goal;
use crate::installer::back::{Revisit, WayBack};
use crate::installer::charts::charts;
use crate::installer::helm::{Base, Helm, Schemas, Upgrade};
use crate::installer::history::{Readiness, Revision};
use crate::installer::owned::{Differing, Owned};
use crate::live::Live;
use crate::overrides::Overrides;
use crate::plan::{Doing, Helming, Part, Parts, Write};
use crate::render::{Conflicts, Manifest, Rendered};
use crate::session::Session;
use crate::shown::Revisions;
use crate::values::differences;

/// Helm and the two releases.
#[derive(Debug)]
pub(crate) struct HelmReleases {
    pub(crate) helm: Helm,
    pub(crate) control_plane: Owned,
    pub(crate) crds: Owned,
}

impl HelmReleases {
    /// Reads both releases. Of one that is still as it is `known`, helm is not asked again.
    pub(crate) async fn read(
        cluster: &Cluster,
        helm: Helm,
        [control_plane, crds]: [&Release; 2],
        known: Option<&Self>,
    ) -> anyhow::Result<Self> {
        let (control_plane, crds) = futures::future::try_join(
            Owned::read(
                cluster,
                &helm,
                control_plane,
                known.map(|it| &it.control_plane),
            ),
            Owned::read(cluster, &helm, crds, known.map(|it| &it.crds)),
        )
        .await?;
        Ok(Self {
            helm,
            control_plane,
            crds,
        })
    }

    /// Returns the newest revisions.
    pub(crate) fn revisions(&self) -> Revisions<'_> {
        let Self {
            control_plane,
            crds,
            ..
        } = self;
        Revisions {
            control_plane: (control_plane.name(), control_plane.history.latest()),
            crds: (crds.name(), crds.history.latest()),
        }
    }

    /// Says that this cluster does not have the revisions that helm lists.
    pub(crate) async fn missing(&self, cluster: &Cluster) -> Result<Option<String>, Error> {
        let missing = async |owned: &Owned| {
            let latest = owned.history.latest().revision;
            let driver = self.helm.driver;
            driver.missing(cluster, &owned.release, latest).await
        };
        let both = (missing(&self.control_plane), missing(&self.crds));
        let (control_plane, crds) = futures::future::try_join(both.0, both.1).await?;
        Ok(control_plane.or(crds))
    }

    /// Returns a release that a helm is at work on or that cannot be upgraded.
    pub(crate) fn busy(&self) -> Option<&Owned> {
        let mut both = [&self.control_plane, &self.crds].into_iter();
        both.find(|owned| owned.history.readiness() != Readiness::Ready)
    }

    /// Ends the run with a hint, because a helm died while it upgraded a release.
    pub(crate) fn abandoned(&self, session: &Session<'_>, busy: &Owned) -> Ending {
        let Owned {
            release, history, ..
        } = busy;
        if session.run.is_dry() {
            let Release { name, .. } = release;
            return refused(
                format!(
                    "a helm is at work on {name}, or died there: {}",
                    history.latest()
                ),
                "run it again when that helm is through; a run without --dry-run waits for it for as \
                 long as --pending-timeout says",
            );
        }
        let Some(sound) = history.way_back() else {
            let hint =
                "install the control plane again: no revision of this release was ever deployed";
            return busy.stuck(hint.to_owned()).into();
        };
        let (way, command) = if busy.name() == self.crds.name() {
            // Definitions must not be rolled back: the API server may refuse older ones.
            let revision = history.latest().revision;
            let Some(forget) = self.helm.forget(release, revision) else {
                let way = format!("remove revision {revision} from helm's database");
                let hint = format!("if no helm runs any more, {way}; then {AGAIN}");
                return busy.stuck(hint).into();
            };
            ("remove the unfinished revision with", forget)
        } else {
            let driver = self.helm.driver.to_string();
            let mut words = vec!["--rollback", "--to", &sound.app_version];
            words.extend(["-L", &release.namespace, "--helm-driver", &driver]);
            let back = session.run.paste().mesh("mesh-cp-upgrade", &words);
            ("go back with", back)
        };
        let hint = format!("if no helm runs any more, {way} `{command}`; then {AGAIN}");
        Ending::Failed(busy.stuck(hint).with_next(command).into())
    }

    /// Renders both charts and compares them with what is deployed.
    pub(crate) async fn parts(
        &self,
        session: &mut Session<'_>,
        args: &Args,
        goal: &Goal,
        live: &Live,
    ) -> Outcome<Parts> {
        let (helm, target) = (&self.helm, goal.target.as_str());
        let inputs = Arc::clone(&session.inputs);
        let [crds, control_plane] = self.upgrades(session, args, target).await?;
        let base = self.control_plane.history.base();
        let base_of_crds = self.crds.history.base();
        let cluster = Arc::clone(&session.cluster);
        let all = futures::future::try_join5(
            helm.render_definitions(&crds),
            helm.render(&control_plane),
            helm.values(&self.control_plane.release, base.revision),
            helm.installed(&self.crds.release, Some(base_of_crds.revision)),
            helm.installed(&self.control_plane.release, Some(base.revision)),
        );
        let all = session.unless_stopped(all).await?;
        let all = all.map_err(|error| hinted(error, self.check_values(&inputs.overrides)));
        let (crds_rendered, rendered, given, crds_installed, installed) = all?;
        // Values that were fixed after a failed upgrade must be applied.
        let is_done = live.configuration().version == Some(target)
            && self.control_plane.is_at(&rendered, &installed)
            && given.same(&rendered.given);
        let pairs = [(&*crds_installed, &crds_rendered), (&*installed, &rendered)];
        let both = self.compare(&cluster, pairs);
        let [crds_differ, differ] = session.unless_stopped(both).await??;
        let crds_are_there = self.crds.is_at(&crds_rendered, &crds_installed);
        let mut crds = self.part(&self.crds, crds, crds_rendered, crds_installed, crds_differ);
        crds.is_needed |= !crds_are_there;
        // Definitions must not be rolled back: the API server may refuse older ones.
        crds.way_back = None;
        let differences = differences(&given, &rendered.given);
        let mut control_plane = self.part(
            &self.control_plane,
            control_plane,
            rendered,
            installed,
            differ,
        );
        control_plane.is_needed |= !is_done;
        control_plane.values = differences;
        Ok(Parts {
            crds,
            control_plane,
            hint: "pass the chart version whose appVersion is the target: --chart-version VERSION",
        })
    }

    // The upgrades of the definitions and of the control plane.
    async fn upgrades(
        &self,
        session: &mut Session<'_>,
        args: &Args,
        target: &str,
    ) -> Outcome<[Upgrade; 2]> {
        let inputs = Arc::clone(&session.inputs);
        let named = charts(args, &inputs, target, &self.helm);
        let named = session.unless_stopped(named).await??;
        let cluster = Arc::clone(&session.cluster);
        let schemas = session.unless_stopped(schemas(&cluster)).await?;
        let upgrade = |owned: &Owned, chart, base, overrides| Upgrade {
            release: owned.release.clone(),
            chart,
            base,
            overrides,
            conflicts: args.conflicts(),
            schemas,
        };
        let base = match args.reset_then_reuse_values {
            true => Base::Release,
            false => Base::Chart,
        };
        let overrides = inputs.overrides.clone();
        // Definitions have no version of their own.
        let own = Overrides::default();
        let crds = upgrade(&self.crds, named.crds, Base::Release, own);
        Ok([
            // Their one schema is quickly read.
            Upgrade {
                schemas: Schemas::Asked,
                ..crds
            },
            upgrade(&self.control_plane, named.control_plane, base, overrides),
        ])
    }

    // Compares what is installed and what is rendered of both releases with the cluster.
    async fn compare(
        &self,
        cluster: &Cluster,
        [crds, control_plane]: [(&[Manifest], &Rendered); 2],
    ) -> Result<[Differing; 2], Error> {
        let crds = self.crds.compare(cluster, crds);
        let control_plane = self.control_plane.compare(cluster, control_plane);
        let (crds, control_plane) = futures::future::try_join(crds, control_plane).await?;
        Ok([crds, control_plane])
    }

    /// Returns the name of the control plane's release.
    pub(crate) fn name(&self) -> &str {
        self.control_plane.name()
    }

    /// Returns the command that lists the revisions of the control plane.
    pub(crate) fn listed(&self) -> String {
        let Release { name, namespace } = &self.control_plane.release;
        self.helm.pasted(&["history", name, "-n", namespace])
    }

    /// Makes a rollback to a revision of a release.
    pub(crate) fn revisit(&self, owned: &Owned, back: &Revision, conflicts: Conflicts) -> Revisit {
        Revisit {
            helm: self.helm.clone(),
            release: owned.release.clone(),
            revision: back.revision,
            chart: back.chart.clone(),
            conflicts,
        }
    }

    fn part(
        &self,
        owned: &Owned,
        upgrade: Upgrade,
        rendered: Rendered,
        installed: Vec<Manifest>,
        Differing { removed, restored }: Differing,
    ) -> Part {
        let release = &owned.release;
        let back = owned.history.way_back();
        let revisit = |back: &Revision| self.revisit(owned, back, upgrade.conflicts);
        let way_back = back.map(|back| WayBack::Helm(Box::new(revisit(back))));
        Part {
            name: format!("{}/{}", release.namespace, release.name),
            command: self.helm.command(&upgrade),
            essence: self.helm.essence(&upgrade),
            is_needed: !restored.is_empty(),
            only_restores: false,
            removed,
            restored,
            way_back,
            rendered,
            installed: Some(installed),
            values: Vec::new(),
            write: Write::Helm(Box::new(Helming {
                helm: self.helm.clone(),
                deed: Doing::Upgrade(Box::new(upgrade)),
                over: owned.history.latest().revision,
            })),
        }
    }

    /// Returns what to check where the values would change the mesh's identity settings.
    pub(crate) fn check_values(&self, overrides: &Overrides) -> String {
        let Release { name, namespace } = &self.control_plane.release;
        let command = ["get", "values", name, "-n", namespace, "-o", "yaml"];
        format!(
            "helm takes only {} and drops the values of the installed release: see those with \
             `{}`, and pass all values of this cluster with -f, or keep them with \
             --reset-then-reuse-values",
            overrides.named(),
            self.helm.pasted(&command)
        )
    }
}

// An API server that does not say its version is asked for its schemas.
async fn schemas(cluster: &Cluster) -> Schemas {
    let version = cluster.kubernetes().await;
    version.map_or(Schemas::Asked, |version| Schemas::of(&version))
}
