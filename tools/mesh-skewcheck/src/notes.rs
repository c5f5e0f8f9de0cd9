//! The upgrade notes on the way to the target: which of them concern the cluster, and how severe
//! they are.

use mesh_records::{ControlPlane, Decided, Extension, Finding, Severity};
use mesh_versions::{Demand, Note};
use sha2::{Digest as _, Sha256};

use crate::acknowledged::{Acknowledged, PREFIX};
use crate::condition::{Ground, Told, told};
use crate::question::{Question, Standpoint};

/// A note that concerns the cluster, or may concern it.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) note: Note,
    pub(crate) told: Told,
    pub(crate) severity: Severity,
    /// Whether the answer is a no until somebody acknowledges it.
    pub(crate) is_grave: bool,
    /// A digest of the note's text and of what it concerns.
    digest: String,
    pub(crate) acknowledged: bool,
    /// Whether somebody acknowledged it for other text or other things.
    outdated: bool,
}

/// Returns the notes between the running version and the target that concern the cluster, or of
/// which that cannot be told, in the order of the path.
pub(crate) fn shown(
    plane: &ControlPlane,
    extensions: &[Extension],
    is_full: bool,
    at: &Standpoint<'_>,
) -> Vec<Shown> {
    let Some(target) = &at.target else {
        return Vec::new();
    };
    let releases = at.releases();
    let ground = Ground {
        plane,
        extensions,
        is_full,
        channel: releases.canonical(&at.running).channel(),
    };
    let path = releases.path(&at.running, target).unwrap_or_default();
    let first = path.first();
    let notes = releases.notes_between(&at.running, target);
    let notes = notes.map(|note| (note, told(&note.when, ground)));
    let concern = notes.filter(|(_, told)| told.holds != Some(false));
    concern
        .map(|(note, told)| {
            let is_next = first.is_none_or(|hop| releases.reaches(hop, note));
            Shown::of(note, told, is_next, at.question)
        })
        .collect()
}

// === impl Shown ===

impl Shown {
    fn of(note: &Note, told: Told, is_next: bool, question: &Question) -> Self {
        let digest = digest(note, &told);
        let all = question.notes.iter();
        let mut of_note = all.filter(|it| it.id == note.id).peekable();
        let is_known = of_note.peek().is_some();
        let acknowledged = of_note.any(|it| it.digest == digest);
        let severity = severity(note, &told, is_next);
        Self {
            severity,
            is_grave: severity <= question.fail_on,
            note: note.clone(),
            told,
            digest,
            acknowledged,
            outdated: is_known && !acknowledged,
        }
    }

    /// Returns the id as a finding has it.
    pub(crate) fn id(&self) -> String {
        format!("{PREFIX}{}", self.note.id)
    }

    /// Returns the argument of `--ack` that acknowledges it.
    pub(crate) fn acknowledgement(&self) -> String {
        format!("{}@{}", self.id(), self.digest)
    }

    /// Returns true if it answers to one of the acknowledgements.
    pub(crate) fn answers(&self, acknowledged: &Acknowledged) -> bool {
        self.note.id == acknowledged.id && self.digest == acknowledged.digest
    }

    pub(crate) fn decided(&self) -> Decided {
        match self.told.holds {
            Some(_) => Decided::Yes,
            None => Decided::CannotTell,
        }
    }

    pub(crate) fn finding(&self, plane: &ControlPlane) -> Finding {
        let Told {
            workloads, count, ..
        } = &self.told;
        Finding {
            cluster: plane.cluster.clone(),
            id: self.id(),
            severity: self.severity,
            control_plane: plane.namespace.clone(),
            message: format!("{} {}", self.note.text, self.concerned()),
            hint: self.hint(),
            page: Some(self.note.page.clone()),
            decided: self.decided(),
            waived: self.acknowledged.then(|| "acknowledged".to_owned()),
            count: (*count).max(1),
            workloads: workloads.iter().cloned().collect(),
        }
    }

    /// Whom it concerns, or what would have to be known to tell.
    pub(crate) fn concerned(&self) -> String {
        let Told {
            workloads,
            count,
            things,
            missing,
            ..
        } = &self.told;
        let concerns = &self.note.concerns;
        if self.decided() == Decided::CannotTell {
            let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
            return format!(
                "Concerns {concerns}; the survey cannot tell, look for: {}",
                missing.join(", ")
            );
        }
        let mut named: Vec<String> = things.iter().cloned().collect();
        named.extend(workloads.iter().map(ToString::to_string));
        let listed = u64::try_from(workloads.len()).unwrap_or(u64::MAX);
        let more = count.saturating_sub(listed);
        if more > 0 {
            named.push(format!("{more} more"));
        }
        match named.is_empty() {
            true => format!("Concerns {concerns}."),
            false => format!("Concerns {concerns}: {}", named.join(", ")),
        }
    }

    fn hint(&self) -> Option<String> {
        let act = self.note.act.as_deref();
        if !self.is_grave {
            return act.map(str::to_owned);
        }
        let act = act.unwrap_or("Read it.");
        let acknowledgement = self.acknowledgement();
        let outdated = match self.outdated {
            true => "; the --ack that was given is for another text or for other things",
            false => "",
        };
        Some(format!("{act} Then pass --ack {acknowledgement}{outdated}"))
    }
}

/// How severe a note is. Where the survey cannot tell, only a note about a loss blocks. A note of a
/// later hop never blocks this one.
fn severity(note: &Note, told: &Told, is_next: bool) -> Severity {
    let cannot_tell = told.holds.is_none();
    match note.demand {
        Demand::Know => Severity::Info,
        Demand::Act | Demand::Look if cannot_tell && note.destructive && is_next => Severity::Error,
        Demand::Act if cannot_tell || !is_next => Severity::Warning,
        Demand::Act => Severity::Error,
        Demand::Look if cannot_tell => Severity::Info,
        Demand::Look => Severity::Warning,
    }
}

/// A short digest of what a person reads: another text, or other workloads, need another reading.
fn digest(note: &Note, told: &Told) -> String {
    let Told {
        holds,
        workloads,
        count,
        things,
        missing,
    } = told;
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update(text);
        hash.update([0]);
    };
    let act = note.act.as_deref().unwrap_or_default();
    for text in [&note.id, &note.text, &note.concerns, act] {
        add(text);
    }
    for workload in workloads {
        add(&workload.to_string());
    }
    add(&format!("{count} {holds:?}"));
    for thing in things.iter().chain(missing) {
        add(thing);
    }
    let digest = format!("{:x}", hash.finalize());
    digest[..12].to_owned()
}
