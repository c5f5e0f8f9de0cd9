//! Judges one survey of the stream: workloads as they arrive, the rest at its end.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::Result;
use mesh_records::{
    Closed, ControlPlane, Explained, Extension, KEEP, Need, Paste, RawLine, Stream, StreamError,
    Unseen,
};
use mesh_versions::{Target, Version};

use crate::alike::{Alike, Split};
use crate::once::{Once, Refused};
use crate::proxy::Sights;
use crate::question::{Question, Standpoint};
use crate::rules::workload::{Judged, judge};
use crate::seen::{Identity, Seen};
use crate::tally::Tally;
use crate::verdict::{Around, Judgement, conclude};
use crate::waiver::InForce;

/// A survey that is being read.
#[derive(Debug)]
pub(crate) struct Survey<'q> {
    question: &'q Question,
    /// The cluster's label, for errors.
    label: String,
    paste: Paste,
    waivers: InForce<'q>,
    planes: BTreeMap<String, Plane<'q>>,
    early: BTreeMap<String, Vec<Early>>,
    extensions: Vec<Extension>,
    lacks_required: bool,
}

/// A workload whose control plane has not arrived yet.
#[derive(Debug)]
pub(crate) struct Early {
    number: u64,
    text: String,
}

#[derive(Debug)]
struct Plane<'q> {
    record: ControlPlane,
    at: Standpoint<'q>,
    once: Once,
    alike: Alike,
    sights: Sights,
    tally: Tally,
}

// === impl Survey ===

impl<'q> Survey<'q> {
    pub(crate) fn new(stream: &Stream, question: &'q Question) -> Self {
        let label = stream
            .cluster
            .clone()
            .or_else(|| stream.cluster_uid.clone());
        Self {
            question,
            label: label.unwrap_or_else(|| "?".to_owned()),
            paste: stream.flags.clone().unwrap_or_default(),
            waivers: question.waivers.at(stream),
            planes: BTreeMap::new(),
            early: BTreeMap::new(),
            extensions: Vec::new(),
            lacks_required: false,
        }
    }

    /// Adds a control plane and returns the workloads that waited for it.
    pub(crate) fn control_plane(&mut self, line: RawLine<'_>) -> Result<Vec<Early>> {
        let record: ControlPlane = line.parse()?;
        let name = record.namespace.clone();
        let (paste, waivers) = (self.paste.clone(), self.waivers.clone());
        let plane = Plane::new(record, self.question, paste, waivers)?;
        // What was counted of the first would be lost.
        if self.planes.insert(name.clone(), plane).is_some() {
            let (line, cluster) = (line.number, self.label.clone());
            let namespace = name;
            return Err(StreamError::SurveyedTwice {
                line,
                cluster,
                namespace,
            }
            .into());
        }
        Ok(self.early.remove(&name).unwrap_or_default())
    }

    /// Judges a workload; returns `None` if it must wait for its control plane.
    pub(crate) fn workload(&mut self, line: RawLine<'_>) -> Result<Option<Rc<Judged>>> {
        let split = Split::of(line.text);
        if let Some(split) = &split
            && let Some(plane) = self.planes.get_mut(split.control_plane)
            && let Some(judged) = plane.alike.get(split).map(Rc::clone)
        {
            plane.count(line.number, &split.identity(&judged), &judged)?;
            return Ok(Some(judged));
        }
        let seen: Seen<'_> = line.parse()?;
        if seen.is_judged {
            return Err(StreamError::JudgedAlready { line: line.number }.into());
        }
        if let Some(wrong) = seen.contradiction() {
            return Err(refused(line.number, &seen.identity(), wrong).into());
        }
        let Some(plane) = self.planes.get_mut(&*seen.control_plane) else {
            let early = Early {
                number: line.number,
                text: line.text.to_owned(),
            };
            let waiting = self.early.entry(seen.control_plane.into_owned());
            waiting.or_default().push(early);
            return Ok(None);
        };
        let judged = Rc::new(judge(&seen, &mut plane.sights, &plane.at));
        plane.count(line.number, &seen.identity(), &judged)?;
        if let Some(split) = &split {
            plane.alike.put(split, &judged);
        }
        Ok(Some(judged))
    }

    pub(crate) fn extension(&mut self, line: RawLine<'_>) -> Result<()> {
        self.extensions.push(line.parse()?);
        Ok(())
    }

    pub(crate) fn unseen(&mut self, line: RawLine<'_>) -> Result<()> {
        self.lacks_required |= line.parse::<Unseen>()?.needed == Need::Required;
        Ok(())
    }

    /// Returns one judgement per control plane.
    pub(crate) fn conclude(self, closed: &Closed) -> Result<Vec<Judgement>> {
        self.all_there(closed)?;
        let Self {
            planes,
            extensions,
            lacks_required,
            ..
        } = self;
        let around = Around {
            closed,
            extensions: &extensions,
            lacks_required,
        };
        let concluded = planes.values().map(
            |Plane {
                 record,
                 at,
                 tally,
                 once: _,
                 alike: _,
                 sights: _,
             }| { conclude(record, at, tally, &around) },
        );
        Ok(concluded.collect())
    }

    fn all_there(&self, closed: &Closed) -> Result<(), Explained> {
        let label = &self.label;
        let written = closed.end.totals.get("control_plane").copied().unwrap_or(0);
        if self.planes.is_empty() {
            let what = format!("the survey of cluster `{label}` has no control plane");
            let (what, hint) = if written > 0 {
                (format!("{what} any more: a filter took it out"), KEEP)
            } else {
                let hint = "check that Linkerd is installed; if it is, name its namespace with -L NAMESPACE of mesh-survey";
                (what, hint)
            };
            return Err(Explained::new(what, hint));
        }
        if let Some((namespace, waiting)) = self.early.first_key_value() {
            let first = waiting.first().map_or(0, |early| early.number);
            let what = format!(
                "line {first}: a workload of cluster `{label}` ({} in total) belongs to a control \
                 plane in `{namespace}`, and the survey has no such control plane",
                waiting.len()
            );
            let hint =
                "survey that control plane as well, or delete what is left of it in the cluster";
            return Err(Explained::new(what, hint));
        }
        Ok(())
    }
}

// === impl Early ===

impl Early {
    /// Returns the line unchanged.
    pub(crate) fn line(&self) -> RawLine<'_> {
        RawLine {
            text: &self.text,
            number: self.number,
            unended: false,
        }
    }
}

// === impl Plane ===

impl<'q> Plane<'q> {
    fn new(
        record: ControlPlane,
        question: &'q Question,
        paste: Paste,
        waivers: InForce<'q>,
    ) -> Result<Self> {
        let running = running(&record)?;
        let injects = record.injects.as_deref().map(Version::of_tag);
        let mut at = Standpoint {
            question,
            paste,
            namespace: record.namespace.clone(),
            waivers,
            running,
            target: None,
            injects,
        };
        at.target = target(&record, &at)?;
        Ok(Self {
            record,
            at,
            once: Once::default(),
            alike: Alike::default(),
            sights: Sights::default(),
            tally: Tally::default(),
        })
    }

    fn count(&mut self, line: u64, one: &Identity<'_>, judged: &Judged) -> Result<(), Explained> {
        self.once.take(one).map_err(|unproven| {
            let wrong = match unproven {
                Refused::Twice => "the survey has this workload twice",
                Refused::TooLate => {
                    "it is not in the order in which mesh-survey wrote the workloads, and there \
                     are too many to tell whether one comes twice"
                }
            };
            refused(line, one, wrong)
        })?;
        self.tally.add(one, judged, &self.at);
        Ok(())
    }
}

fn refused(line: u64, one: &Identity<'_>, wrong: &str) -> Explained {
    let Identity {
        namespace,
        kind,
        name,
        uid: _,
    } = one;
    let what = format!("line {line}: workload {namespace}/{kind}/{name}: {wrong}");
    Explained::new(
        what,
        "pipe the output of mesh-survey into mesh-skewcheck exactly as it was written",
    )
}

fn running(record: &ControlPlane) -> Result<Version, Explained> {
    record
        .version
        .as_deref()
        .filter(|text| !text.is_empty())
        .map(Version::of_tag)
        .ok_or_else(|| {
            let ControlPlane {
                namespace, cluster, ..
            } = record;
            let what =
                format!("the control plane in `{namespace}` of cluster `{cluster}` has no version");
            Explained::new(
                what,
                "check that its ConfigMap linkerd-config exists and that mesh-survey may read it",
            )
        })
}

fn target(record: &ControlPlane, at: &Standpoint<'_>) -> Result<Option<Version>, Explained> {
    let Some(target) = &at.question.to else {
        return Ok(None);
    };
    if let Some(release) = at.releases().resolve(target, at.channel()) {
        return Ok(Some(release));
    }
    let cluster = &record.cluster;
    let what = match target {
        Target::Line(minor) => format!(
            "the releases file recommends no release of {minor} in the channel of cluster \
             `{cluster}`, which runs {}",
            at.running
        ),
        Target::Latest => format!(
            "the releases file recommends no release in the channel of cluster `{cluster}`, which \
             runs {}",
            at.running
        ),
        Target::Release(version) => format!("{version} cannot be a target"),
    };
    Err(Explained::new(
        what,
        "name the release, as in `--to enterprise-2.16.1`",
    ))
}
