//! Makes the plan: the steps to the target.

use mesh_records::{ControlPlane, Extension, Hop, HopKind, InstalledBy, Plan, Rule};
use mesh_versions::{Fit, KubernetesVersion, Minor};

use crate::notes::Shown;
use crate::question::Standpoint;
use crate::steps::{self, Deed};
use crate::tally::Tally;

/// Up to this minor version Linkerd has one Helm chart, afterwards two.
const LAST_WHOLE: Minor = Minor::new(11);

/// Makes the plan from the running version to the target, one minor version at a time, each with
/// the steps that belong to it. `None` if there is nothing to do or no path.
pub(crate) fn plan(
    plane: &ControlPlane,
    extensions: &[Extension],
    tally: &Tally,
    notes: &[Shown],
    at: &Standpoint<'_>,
) -> Option<Plan> {
    let path = at.releases().path(&at.running, at.target.as_ref()?)?;
    let first = path.first()?;
    let mut steps = Steps {
        plane,
        extensions,
        notes,
        at,
        kubernetes: plane.kubernetes.as_deref().and_then(KubernetesVersion::of),
        hops: Vec::new(),
    };
    if must_roll_first(tally) {
        let from = first.from.to_string();
        let release = at.injects.as_ref().unwrap_or(&at.running).to_string();
        let roll = at.acted(&["--ask", "roll"], "mesh-roll", &[]);
        let roll = Deed::Commands(vec![roll]);
        let named = (from.clone(), from, release);
        steps.hops.push(hop(named, HopKind::Roll, vec![roll]));
    }
    for hop in &path {
        steps.take(hop);
    }
    Some(Plan {
        cluster: plane.cluster.clone(),
        control_plane: plane.namespace.clone(),
        hops: steps.hops,
    })
}

/// Returns true if proxies are too old for the target and a roll to the running version would help.
fn must_roll_first(tally: &Tally) -> bool {
    let too_old = tally.groups().any(|(_, rule, _)| rule == Rule::ProxyTooOld);
    too_old && tally.counts().roll > 0
}

/// The steps so far, and the Kubernetes version that they lead to.
struct Steps<'a> {
    plane: &'a ControlPlane,
    extensions: &'a [Extension],
    notes: &'a [Shown],
    at: &'a Standpoint<'a>,
    kubernetes: Option<KubernetesVersion>,
    hops: Vec<Hop>,
}

impl Steps<'_> {
    fn take(&mut self, step: &mesh_versions::Hop) {
        let release = step.release.as_ref();
        let release_name = release.map_or_else(|| step.to.to_string(), ToString::to_string);
        let named = |release: &str| {
            let (from, to) = (step.from.to_string(), step.to.to_string());
            (from, to, release.to_owned())
        };
        if let Some((needed, message)) = self.kubernetes_for(step.from, step.to) {
            let needed = needed.to_string();
            let say = vec![Deed::Sentence(message)];
            self.hops
                .push(hop(named(&needed), HopKind::Kubernetes, say));
        }
        if step.from <= LAST_WHOLE
            && step.to > LAST_WHOLE
            && self.plane.installed_by == InstalledBy::Helm
        {
            let say = "the finding helm-chart-split has the commands";
            let say = vec![Deed::Sentence(say.to_owned())];
            self.hops
                .push(hop(named(&release_name), HopKind::ChartSplit, say));
        }
        let crds = hop(named(&release_name), HopKind::Crds, Vec::new());
        let mut control_plane = hop(
            named(&release_name),
            HopKind::ControlPlane,
            self.control_plane(release.map(|it| it.as_str()), step.to),
        );
        let of_hop = self.notes.iter().filter(|shown| self.belongs(shown, step));
        control_plane.notes = of_hop.map(Shown::id).collect();
        self.hops.extend([crds, control_plane]);
        if !self.extensions.is_empty() {
            let deeds = release.map(|release| {
                let by = self.plane.installed_by;
                let each = self.extensions.iter();
                each.map(|it| steps::extension(it, by, (release, step.to), self.at))
                    .collect()
            });
            let deeds = deeds.unwrap_or_default();
            self.hops
                .push(hop(named(&release_name), HopKind::Extensions, deeds));
        }
        let roll = self.at.acted(&["--ask", "roll"], "mesh-roll", &[]);
        let roll = vec![Deed::Commands(vec![roll])];
        self.hops
            .push(hop(named(&release_name), HopKind::Roll, roll));
    }

    /// A note belongs to the first step that brings its change: with some edge releases that is
    /// before its minor version, or after it.
    fn belongs(&self, shown: &Shown, step: &mesh_versions::Hop) -> bool {
        let id = shown.id();
        let is_new = !self.hops.iter().any(|hop| hop.notes.contains(&id));
        is_new && self.at.releases().reaches(step, &shown.note)
    }

    /// Returns the Kubernetes version that the next release needs, if the cluster is older.
    fn kubernetes_for(&mut self, from: Minor, to: Minor) -> Option<(KubernetesVersion, String)> {
        let server = self.kubernetes.as_ref()?;
        let line = |minor| self.at.releases().line(minor);
        let (before, after) = (line(from)?.kubernetes(), line(to)?.kubernetes());
        if after.fit(server) != Fit::TooOld {
            return None;
        }
        let needed = after.min.clone();
        let message = match before.common(after) {
            Some(both) => format!(
                "bring Kubernetes to {needed} while {from} runs, one minor version at a time; {from} \
                 and {to} have in common {} to {}",
                both.min, both.tested
            ),
            None => format!(
                "no Kubernetes version suits both: {from} was tested up to {}, {to} needs {needed}; \
                 {from} must run untested on {needed} for the time of the upgrade",
                before.tested
            ),
        };
        self.kubernetes = Some(needed.clone());
        Some((needed, message))
    }

    fn control_plane(&self, release: Option<&str>, to: Minor) -> Vec<Deed> {
        let deed = match release {
            Some(release) => steps::upgrade(self.plane, release, self.at),
            None => Deed::Sentence(format!(
                "the releases file recommends no release of {to} in this channel: choose one, and \
                 name it with --to"
            )),
        };
        let support = self
            .at
            .releases()
            .line(to)
            .map(mesh_versions::Line::kubernetes);
        let untested = self.kubernetes.as_ref().zip(support);
        let untested = untested.filter(|(server, it)| it.fit(server) == Fit::Untested);
        let untested = untested.map(|(server, it)| {
            Deed::Sentence(format!(
                "{to} was tested up to Kubernetes {}, the cluster runs {server}: no release of {to} \
                 is in its range",
                it.tested
            ))
        });
        std::iter::once(deed).chain(untested).collect()
    }
}

fn hop((from, to, release): (String, String, String), kind: HopKind, deeds: Vec<Deed>) -> Hop {
    let mut commands = Vec::new();
    let mut sentences = Vec::new();
    for deed in deeds {
        match deed {
            Deed::Commands(more) => commands.extend(more),
            Deed::Sentence(sentence) => sentences.push(sentence),
        }
    }
    Hop {
        from,
        to,
        release,
        kind,
        notes: Vec::new(),
        commands,
        message: (!sentences.is_empty()).then(|| sentences.join("; ")),
    }
}
