//! What a survey saw: the control planes, the workloads, and the versions in sum.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mesh_records::{
    Certificate, CertificateRole, ControlPlane, Extension, FailurePolicy, InstalledBy, State,
    Stream, Webhook,
};

use super::look::{Look, Symbol, Tone};
use super::text::{beside, lasts, many, unbroken};
use crate::Clean;

/// What was seen of the clusters, without their workloads.
#[derive(Debug, Default)]
pub(super) struct Sight {
    time: Option<Timestamp>,
    heads: Vec<(Tone, String, String)>,
    clusters: BTreeSet<String>,
    remarks: Vec<(String, String)>,
}

// === impl Sight ===

impl Sight {
    pub(super) fn stream(&mut self, stream: &Stream) {
        self.time = stream.time;
    }

    /// Returns how many clusters were seen.
    pub(super) fn clusters(&self) -> usize {
        self.clusters.len()
    }

    pub(super) fn control_plane(&mut self, plane: &ControlPlane, look: Look) {
        if self.clusters.insert(plane.cluster.clone()) {
            let mut about = Vec::from_iter(
                plane
                    .kubernetes
                    .as_ref()
                    .map(|it| format!("Kubernetes {it}")),
            );
            let time = self
                .time
                .map(|time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
            about.extend(time.map(|time| format!("surveyed {time}")));
            self.head(Tone::Strong, &plane.cluster, about.join("   "));
        }
        let (tone, state) = state(plane);
        let mut about = vec![
            plane
                .version
                .clone()
                .unwrap_or_else(|| "of an unknown version".to_owned()),
            state.to_owned(),
            installed(plane.installed_by).to_owned(),
        ];
        about.extend(plane.ha.then(|| "highly available".to_owned()));
        let injects = plane
            .injects
            .as_ref()
            .filter(|it| Some(*it) != plane.version.as_ref());
        about.extend(injects.map(|it| format!("new pods get {it}")));
        self.head(tone, &plane.namespace, about.join(", "));
        for (tone, line) in odd_components(plane) {
            self.head(tone, "", line);
        }
        let facts: Vec<(Tone, String)> = certificates(plane, self.time)
            .into_iter()
            .chain(injector(plane))
            .collect();
        let worst = facts.iter().map(|it| it.0).max().unwrap_or_default();
        let facts = facts.into_iter().map(|it| unbroken(&it.1));
        let facts: Vec<String> = facts.collect();
        if !facts.is_empty() {
            self.head(worst, "", facts.join(look.symbol(Symbol::Dot)));
        }
    }

    pub(super) fn extension(&mut self, extension: &Extension) {
        let version = extension.version.clone();
        let version = version.unwrap_or_else(|| "of an unknown version".to_owned());
        let parts = extension.parts.iter();
        let parts =
            parts.filter(|part| part.version.is_some() && part.version != extension.version);
        let parts: Vec<String> = parts
            .filter_map(|part| Some(format!("{} {}", part.name, part.version.as_deref()?)))
            .collect();
        match parts.is_empty() {
            true => self.head(Tone::Plain, &extension.name, version),
            false => {
                let about = format!("{version} ({})", parts.join(", "));
                self.head(Tone::Warn, &extension.name, about);
            }
        }
    }

    /// Adds what somebody should read of a cluster.
    pub(super) fn remark(&mut self, cluster: &str, text: String) {
        self.remarks.push((cluster.to_owned(), text));
    }

    fn head(&mut self, tone: Tone, name: &str, about: String) {
        self.heads.push((tone, name.to_owned(), about));
    }

    pub(super) fn heads(&self, look: Look) -> String {
        let width = self.heads.iter().map(|it| it.1.chars().count()).max();
        let width = width.unwrap_or(0);
        let lines = self.heads.iter();
        lines
            .map(|(tone, name, about)| beside(look, (Tone::Strong, name), width, (*tone, about)))
            .collect()
    }

    pub(super) fn remarks(&self, look: Look) -> String {
        let is_fleet = self.clusters() > 1;
        let lines = self.remarks.iter().map(|(cluster, said)| {
            let said = match is_fleet {
                true => format!("{cluster}: {said}"),
                false => said.clone(),
            };
            look.paint(Tone::Warn, &Clean(&said).to_string()) + "\n"
        });
        lines.collect()
    }
}

fn state(plane: &ControlPlane) -> (Tone, &'static str) {
    match plane.state {
        State::Settled => (Tone::Plain, "settled"),
        State::Rolling => (Tone::Warn, "rolling out"),
        State::Failed => (Tone::Bad, "not making progress"),
    }
}

fn installed(by: InstalledBy) -> &'static str {
    match by {
        InstalledBy::Helm => "by Helm",
        InstalledBy::Cli => "by the linkerd CLI",
        InstalledBy::Gitops => "by Argo CD or Flux",
        InstalledBy::Operator => "by Buoyant's operator",
        InstalledBy::Unknown => "by an unknown tool",
    }
}

// The components that lack pods, or that run another version than the control plane.
fn odd_components(plane: &ControlPlane) -> Vec<(Tone, String)> {
    let mut lines = Vec::new();
    for component in &plane.components {
        let (ready, wanted) = (component.ready, component.wanted);
        if ready < wanted {
            lines.push((
                Tone::Bad,
                format!("{}: {ready} of {wanted} pods ready", component.name),
            ));
        }
        let other = component
            .parts()
            .filter(|(_, version)| *version != plane.version.as_deref());
        lines.extend(other.map(|(name, version)| {
            let version = version.unwrap_or("an unknown version");
            (Tone::Warn, format!("{name} runs {version}"))
        }));
    }
    lines
}

// Of several certificates for one purpose, the one that somebody should look at first.
fn certificates(plane: &ControlPlane, now: Option<Timestamp>) -> Vec<(Tone, String)> {
    let mut all: Vec<&Certificate> = plane.certificates.iter().collect();
    let urgency = |it: &Certificate| match (it.readable, it.not_after) {
        (true, Some(end)) if now.is_some_and(|now| end <= now) => (0, Some(end)),
        (false, _) => (1, None),
        (true, Some(end)) => (2, Some(end)),
        (true, None) => (3, None),
    };
    all.sort_by_key(|it| (rank(it.role), urgency(it)));
    all.dedup_by_key(|it| rank(it.role));
    all.into_iter().map(|it| certificate(it, now)).collect()
}

fn rank(role: CertificateRole) -> u8 {
    match role {
        CertificateRole::Issuer => 0,
        CertificateRole::Anchor => 1,
        CertificateRole::Webhook => 2,
    }
}

fn certificate(certificate: &Certificate, now: Option<Timestamp>) -> (Tone, String) {
    let name = match certificate.role {
        CertificateRole::Issuer => "issuer",
        CertificateRole::Anchor => "anchor",
        CertificateRole::Webhook => "webhook",
    };
    match (certificate.readable, certificate.not_after, now) {
        (false, _, _) => (Tone::Warn, format!("{name} not readable")),
        (true, None, _) => (Tone::Plain, format!("{name} never expires")),
        (true, Some(end), Some(now)) if end <= now => (Tone::Bad, format!("{name} expired {end}")),
        (true, Some(end), Some(now)) => (
            Tone::Plain,
            format!("{name} valid {}", lasts(end.duration_since(now))),
        ),
        (true, Some(end), None) => (Tone::Plain, format!("{name} valid until {end}")),
    }
}

fn injector(plane: &ControlPlane) -> Option<(Tone, String)> {
    let mut all = plane.webhooks.iter();
    let webhook: &Webhook = all.find(|it| it.name.contains("proxy-injector"))?;
    let (tone, answers) = match (webhook.answers, webhook.trusted, webhook.ready_endpoints) {
        (Some(true), _, _) => (Tone::Plain, "injector answers".to_owned()),
        (Some(false), _, _) => (Tone::Bad, "injector does not answer".to_owned()),
        (None, Some(false), _) => (Tone::Bad, "injector not trusted by its CA".to_owned()),
        (None, _, Some(0)) => (Tone::Bad, "injector has no ready pod".to_owned()),
        (None, _, Some(ready)) => (
            Tone::Plain,
            format!("{} ready", many(ready.into(), "injector pod")),
        ),
        (None, _, None) => (Tone::Plain, "injector not looked at".to_owned()),
    };
    let fails = match webhook.failure_policy {
        FailurePolicy::Ignore => "fails open",
        FailurePolicy::Fail => "fails closed",
    };
    Some((tone, format!("{answers}, {fails}")))
}
