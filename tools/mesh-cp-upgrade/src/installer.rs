//! The tool that installed the control plane: only that tool may upgrade it.

pub(crate) mod back;
mod charts;
pub(crate) mod cli;
pub(crate) mod driver;
pub(crate) mod helm;
pub(crate) mod history;
pub(crate) mod owned;
pub(crate) mod releases;
pub(crate) mod staged;
mod stored;

use std::sync::Arc;

use mesh_actor::{Outcome, refused};
use mesh_cluster::{Cluster, Error};

use crate::args::Args;
use crate::gate::Goal;
use crate::installer::cli::Cli;
use crate::installer::helm::Helm;
use crate::installer::history::Readiness;
use crate::installer::releases::HelmReleases;
use crate::live::{Installed, Live, look};
use crate::overrides::Overrides;
use crate::plan::{Parts, Staged};
use crate::session::Session;
use crate::shown::Revisions;

/// The tool that installed the control plane, with its current state.
#[derive(Debug)]
pub(crate) enum Installer {
    Helm(Box<HelmReleases>),
    Cli(Box<Cli>),
}

/// The pause between two reads of helm's state. Only helm knows where it keeps its releases, so
/// they cannot be watched.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(2);

/// Fails if the program that installed the control plane cannot be used.
pub(crate) async fn check(
    session: &mut Session<'_>,
    args: &Args,
    goal: &Goal,
    live: &Live,
) -> Outcome<()> {
    match &live.installed {
        Installed::Helm { .. } => {
            let helm = helm(session, args);
            session
                .unless_stopped(helm.check(args.conflicts()))
                .await??;
        }
        Installed::Cli if args.rollback || args.rollback_on_failure => {
            let cli = cli(session, args, &goal.namespace);
            return Err(refused(
                "the linkerd CLI installed this control plane, and only the CLI of the old version \
                 can go back",
                cli.way_back().offered("go back"),
            ));
        }
        Installed::Cli if args.names_charts() => {
            return Err(refused(
                "the linkerd CLI installed this control plane; the CLI takes no chart",
                "leave out --chart, --crds-chart and their versions; name the CLI with --linkerd",
            ));
        }
        Installed::Cli if args.force_conflicts => {
            return Err(refused(
                "the linkerd CLI installed this control plane; its objects are applied in a way that \
                 overwrites what somebody else has set, and the question names each such field",
                "leave out --force-conflicts",
            ));
        }
        Installed::Cli if args.reset_then_reuse_values => {
            return Err(refused(
                "the linkerd CLI installed this control plane; the CLI keeps the values by itself",
                "leave out --reset-then-reuse-values",
            ));
        }
        Installed::Cli => {
            let cli = cli(session, args, &goal.namespace);
            session.unless_stopped(cli.check(&goal.target)).await??;
        }
    }
    Ok(())
}

fn helm(session: &Session<'_>, args: &Args) -> Helm {
    Helm::new(args, &session.cluster, &session.inputs.kubeconfig)
}

fn cli(session: &Session<'_>, args: &Args, namespace: &str) -> Cli {
    Cli::new(
        args,
        &session.cluster,
        &session.inputs.kubeconfig,
        namespace,
    )
}

/// Waits until no helm is at work on the releases, such as a helm of an earlier, killed run; then
/// reads the control plane. `known` is what an earlier look found.
pub(crate) async fn quiet(
    session: &mut Session<'_>,
    args: &Args,
    namespace: &str,
    known: Option<&Installer>,
) -> Outcome<(Live, Installer)> {
    let cluster = Arc::clone(&session.cluster);
    let mut before = None;
    let mut still_since = tokio::time::Instant::now();
    loop {
        let looking = look(&cluster, namespace);
        let live = session.unless_stopped(looking).await??;
        let Some(releases) = read(session, args, &live, known).await? else {
            let installer = Installer::Cli(Box::new(cli(session, args, namespace)));
            return Ok((live, installer));
        };
        let Some(busy) = releases.busy() else {
            let installer = Installer::Helm(Box::new(releases));
            return Ok((live, installer));
        };
        let latest = busy.history.latest();
        if busy.history.readiness() == Readiness::Gone {
            return Err(busy.gone(&releases.helm));
        }
        if before.as_ref() != Some(latest) {
            let name = busy.name();
            let message = format!("waiting for the helm that is working on {name}: {latest}");
            session.says_waiting(message, format!("{name} is {}", latest.status))?;
            before = Some(latest.clone());
            still_since = tokio::time::Instant::now();
        }
        let is_known = session.abandoned.as_ref() == Some(latest);
        let is_over = still_since.elapsed() >= args.pending_timeout;
        if is_known || is_over || session.run.is_dry() {
            // To go back is the way out of an unfinished upgrade.
            let goes_back = args.rollback || session.goes_back;
            if goes_back && busy.name() == releases.control_plane.name() {
                session.abandoned = Some(latest.clone());
                let installer = Installer::Helm(Box::new(releases));
                return Ok((live, installer));
            }
            return Err(releases.abandoned(session, busy));
        }
        session
            .unless_stopped(tokio::time::sleep(LOOK_AGAIN))
            .await?;
    }
}

// Reads the releases, if helm is the installer.
async fn read(
    session: &mut Session<'_>,
    args: &Args,
    live: &Live,
    known: Option<&Installer>,
) -> Outcome<Option<HelmReleases>> {
    let Installed::Helm {
        control_plane,
        crds,
    } = &live.installed
    else {
        return Ok(None);
    };
    let cluster = Arc::clone(&session.cluster);
    let (helm, both) = (helm(session, args), [control_plane, crds]);
    let known = known.and_then(Installer::releases);
    let reading = HelmReleases::read(&cluster, helm, both, known);
    let releases = session.unless_stopped(reading).await??;
    match session.unless_stopped(releases.missing(&cluster)).await?? {
        None => Ok(Some(releases)),
        Some(there) => {
            let hint = "look at the program that --helm names, and at --helm-driver";
            Err(refused(there, hint))
        }
    }
}

// === impl Installer ===

impl Installer {
    fn releases(&self) -> Option<&HelmReleases> {
        match self {
            Self::Helm(releases) => Some(releases),
            Self::Cli(_) => None,
        }
    }

    /// Returns the version of the last upgrade that was begun, if the installer records it.
    pub(crate) fn began(&self) -> Option<&str> {
        match self {
            Self::Helm(releases) => {
                let latest = releases.control_plane.history.latest();
                Some(latest.app_version.as_str())
            }
            Self::Cli(_) => None,
        }
    }

    /// Identifies the values that the linkerd CLI stored, if it is the installer.
    pub(crate) async fn stored(
        &self,
        cluster: &Cluster,
        namespace: &str,
    ) -> Result<Option<String>, Error> {
        match self {
            Self::Helm(_) => Ok(None),
            Self::Cli(_) => staged::stored(cluster, namespace).await,
        }
    }

    /// Returns the newest revisions of the releases, if helm is the installer.
    pub(crate) fn revisions(&self) -> Option<Revisions<'_>> {
        self.releases().map(HelmReleases::revisions)
    }

    /// Renders what can be rendered before the first write, and compares it with the cluster.
    pub(crate) async fn render(
        &self,
        session: &mut Session<'_>,
        args: &Args,
        goal: &Goal,
        live: &Live,
    ) -> Outcome<Staged<Parts>> {
        match self {
            Self::Helm(releases) => {
                let parts = releases.parts(session, args, goal, live).await?;
                Ok(Staged::Whole(parts))
            }
            Self::Cli(cli) => staged::render(session, goal, live, cli).await,
        }
    }

    /// Returns what to check where the values would change the mesh's identity settings.
    pub(crate) fn check_values(&self, overrides: &Overrides) -> String {
        match self {
            Self::Helm(releases) => releases.check_values(overrides),
            Self::Cli(_) => format!(
                "check that these values are for this cluster: {}",
                overrides.named()
            ),
        }
    }
}
