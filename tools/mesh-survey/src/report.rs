//! Writes the survey's records in a fixed order, with `stream` and `end` in every case.

use std::any::Any;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::survey::Survey;
use anyhow::Result;
use mesh_cli::{Closing, Exit, Output, bug};
use mesh_records::{EndOutcome, Record, Stream, Tool, Unseen};

/// The result of surveying.
pub(crate) enum Looked {
    /// The whole survey.
    Whole(Box<Survey>),
    /// A signal stopped the survey.
    Stopped,
    /// Something that the survey needs could not be read.
    Failed {
        error: anyhow::Error,
        unseen: Vec<Unseen>,
    },
}

/// Writes one survey's records.
pub(crate) struct Report<W: Write> {
    output: Output<W>,
    cluster: Option<String>,
    opened: bool,
}

impl Looked {
    /// The result of a panic.
    pub(crate) fn of_bug(panic: &(dyn Any + Send)) -> Self {
        Self::Failed {
            error: bug(panic).into(),
            unseen: Vec::new(),
        }
    }
}

const STOPPED: &str = "stopped by a signal";

impl<W: Write> Report<W> {
    pub(crate) fn new(output: Output<W>, cluster: Option<String>) -> Self {
        Self {
            output,
            cluster,
            opened: false,
        }
    }

    /// Sets the cluster's label, for an `end` record before the `stream` record could be written.
    pub(crate) fn name(&mut self, cluster: &str) {
        self.cluster = Some(cluster.to_owned());
    }

    /// Shows that pods are listed, where a person can see it, and returns their counter.
    pub(crate) fn counts_pods(&mut self, cluster: &str) -> Arc<AtomicU64> {
        self.output.counts(format!("surveying {cluster}"))
    }

    /// Takes away what [`Report::counts_pods`] shows.
    pub(crate) fn has_listed(&mut self) {
        self.output.under_way(None);
    }

    pub(crate) fn open(&mut self, stream: Stream) -> io::Result<()> {
        self.opened = true;
        self.cluster.clone_from(&stream.cluster);
        self.output.emit(&Record::Stream(Box::new(stream)))
    }

    /// Writes the survey's records and the `end` record. Checks `stopping` before each record.
    pub(crate) fn finish(mut self, looked: Looked, stopping: &AtomicBool) -> Result<Exit> {
        if !self.opened {
            let mut stream = Stream::of(Tool::MeshSurvey, env!("CARGO_PKG_VERSION"));
            stream.cluster.clone_from(&self.cluster);
            self.open(stream)?;
        }
        let writing = catch_unwind(AssertUnwindSafe(|| self.write(looked, stopping)));
        writing.unwrap_or_else(|panic| self.write(Looked::of_bug(&*panic), stopping))
    }

    fn write(&mut self, looked: Looked, stopping: &AtomicBool) -> Result<Exit> {
        match looked {
            Looked::Stopped => self.stopped(),
            Looked::Failed { error, unseen } => {
                for unseen in unseen {
                    self.output.emit(&Record::Unseen(unseen))?;
                }
                let reason = Some(format!("{error:#}"));
                self.end(EndOutcome::Failed, Exit::Failed, Vec::new(), reason)?;
                Err(error)
            }
            Looked::Whole(survey) => {
                let blind = survey.unseen.iter().map(blind).collect();
                let cluster = self.cluster.clone().unwrap_or_default();
                for record in records(&survey, &cluster) {
                    if stopping.load(Ordering::Relaxed) {
                        return self.stopped();
                    }
                    self.output.emit(&record)?;
                }
                self.end(EndOutcome::Complete, Exit::Yes, blind, None)?;
                Ok(Exit::Yes)
            }
        }
    }

    fn stopped(&mut self) -> Result<Exit> {
        self.end(
            EndOutcome::Stopped,
            Exit::Stopped,
            Vec::new(),
            Some(STOPPED.to_owned()),
        )?;
        Ok(Exit::Stopped)
    }

    fn end(
        &mut self,
        outcome: EndOutcome,
        exit: Exit,
        blind: Vec<String>,
        reason: Option<String>,
    ) -> io::Result<()> {
        let cluster = self.cluster.clone();
        let tool = Tool::MeshSurvey;
        self.output.end(Closing {
            tool,
            cluster,
            run: None,
            outcome,
            exit,
            blind,
            reason,
            next: None,
        })
    }
}

// An iterator, because all records at once may need more memory than the survey.
fn records<'a>(survey: &'a Survey, cluster: &'a str) -> impl Iterator<Item = Record> + 'a {
    let Survey {
        control_planes,
        extensions,
        folded,
        ground,
        anomalies,
        unseen,
        restarts: _,
    } = survey;
    let groups = &folded.groups;
    let workloads = groups.iter().filter(|(_, _, group)| group.is_workload());
    let workloads = workloads.map(move |(identity, uid, group)| {
        Record::Workload(Box::new(group.workload(cluster, identity, uid, ground)))
    });
    let proxies = groups.iter().flat_map(move |(identity, uid, group)| {
        group
            .proxies(cluster, identity, uid)
            .map(|proxy| Record::Proxy(Box::new(proxy)))
    });
    let odd = groups
        .iter()
        .flat_map(move |(identity, _, group)| group.anomalies(cluster, identity));
    let odd = anomalies.iter().cloned().chain(odd).map(Record::Anomaly);
    let planes = control_planes
        .iter()
        .cloned()
        .map(|plane| Record::ControlPlane(Box::new(plane)));
    let extensions = extensions.iter().cloned().map(Record::Extension);
    let unseen = unseen.iter().cloned().map(Record::Unseen);
    planes
        .chain(extensions)
        .chain(workloads)
        .chain(proxies)
        .chain(odd)
        .chain(unseen)
}

fn blind(unseen: &Unseen) -> String {
    format!("{} {}", unseen.verb, unseen.resource)
}

#[cfg(test)]
mod tests {
    use mesh_cli::{Format, Readers};
    use serde_json::Value;

    use super::*;

    // Where the records go. A planted bug ends the first write after the `stream` record.
    #[derive(Default)]
    struct Paper {
        written: std::sync::Arc<std::sync::Mutex<Vec<u8>>>,
        has_bug: bool,
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.written.lock().unwrap();
            if written.ends_with(b"\n") && std::mem::take(&mut self.has_bug) {
                drop(written);
                panic!("a planted bug");
            }
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_while_surveying_or_writing_ends_the_survey_as_failed() {
        for has_bug in [false, true] {
            let paper = Paper {
                has_bug,
                ..Paper::default()
            };
            let written = paper.written.clone();
            let output = Output::new(paper, Format::Ndjson, Readers::Needed);
            let report = Report::new(output, Some("eu".to_owned()));
            let looked = match has_bug {
                true => Looked::Stopped,
                false => Looked::of_bug(&"a planted bug"),
            };
            let error = report.finish(looked, &AtomicBool::new(false)).unwrap_err();
            assert!(error.to_string().contains("a planted bug"), "{error}");
            let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
            let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
            let records: Vec<Value> = records.collect();
            let end = records.last().unwrap();
            assert_eq!(
                (&end["outcome"], &end["exit"]),
                (&"failed".into(), &2.into())
            );
        }
    }
}
