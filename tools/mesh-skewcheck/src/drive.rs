//! Reads the input stream, writes the judged stream, and returns the exit code. The only module
//! that reads or writes records.

use std::io::{self, BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Result;
use mesh_cli::{Closing, Exit, Format, Output, Readers, Stop, bug};
use mesh_records::{
    EndOutcome, Expect, Explained, Item, RawLine, Reader, Record, RecordType, Stream, StreamError,
    Tool, What,
};

use crate::across;
use crate::fresh::Freshness;
use crate::page::Page;
use crate::question::Question;
use crate::survey::Survey;
use crate::verdict::Judgement;

/// Checks of the whole input.
#[derive(Debug)]
pub(crate) struct Demands {
    /// Labels or uids of clusters that the input must contain.
    pub(crate) expected: Vec<String>,
    pub(crate) freshness: Option<Freshness>,
}

/// Judges all of `input`, unless a signal asks to stop before its end. Writes an `end` record in
/// every case, unless the reader of the output went away.
pub(crate) fn drive<W: Write>(
    question: &Question,
    demands: &Demands,
    stop: &Stop,
    input: impl BufRead,
    output: &mut Output<W>,
) -> Result<Exit> {
    let stream = Stream::of(Tool::MeshSkewcheck, env!("CARGO_PKG_VERSION"));
    output.emit(&Record::Stream(Box::new(stream)))?;
    let judging = catch_unwind(AssertUnwindSafe(|| {
        let judgements = judge_all(question, demands, input, output)?;
        Ok(conclude(judgements, output))
    }));
    match judging.unwrap_or_else(|panic| Err(bug(&*panic).into())) {
        Ok(concluded) => concluded,
        Err(error) if is_reader_gone(&error) => Err(error),
        // A signal ends the wait for input.
        Err(_) if stop.is_asked() => {
            let reason = Some("stopped by a signal".to_owned());
            output.end(closing(Exit::Stopped, EndOutcome::Stopped, reason))?;
            Ok(Exit::Stopped)
        }
        Err(error) => {
            output.end(closing(
                Exit::Failed,
                EndOutcome::Failed,
                Some(format!("{error:#}")),
            ))?;
            Err(error)
        }
    }
}

/// Judges all of `input` and writes the upgrade notes of each control plane for people, each on a
/// page of its own. Nothing is written unless the whole input could be judged.
pub(crate) fn page(
    question: &Question,
    demands: &Demands,
    stop: &Stop,
    input: impl BufRead,
    mut out: impl Write,
) -> Result<Exit> {
    let mut records = Output::new(io::sink(), Format::Ndjson, Readers::Needed);
    let judgements = match judge_all(question, demands, input, &mut records) {
        // A signal ends the wait for input.
        Err(_) if stop.is_asked() => return Ok(Exit::Stopped),
        judgements => judgements?,
    };
    let mut gap = "";
    for judgement in &judgements {
        write!(out, "{gap}{}", Page(judgement))?;
        gap = "\n\n";
    }
    out.flush()?;
    Ok(Exit::Yes)
}

fn judge_all<W: Write>(
    question: &Question,
    demands: &Demands,
    input: impl BufRead,
    output: &mut Output<W>,
) -> Result<Vec<Judgement>> {
    let mut reader = Reader::new(input, Expect::Surveys);
    let mut current: Option<Survey<'_>> = None;
    let mut missing = demands.expected.clone();
    let mut judgements = Vec::new();
    while let Some(Item { line, what }) = reader.next_item()? {
        match what {
            What::Open(stream) => {
                if let Some(freshness) = &demands.freshness {
                    freshness.check(&stream)?;
                }
                let names = [&stream.cluster, &stream.cluster_uid];
                missing.retain(|name| !names.contains(&&Some(name.clone())));
                current = Some(Survey::new(&stream, question));
                output.pass(line)?;
            }
            What::Close(closed) => {
                let survey = current
                    .take()
                    .expect("the reader closes only what it has opened");
                judgements.extend(survey.conclude(&closed)?);
                output.pass(line)?;
            }
            What::Record(kind) => take(kind, line, current.as_mut(), output)?,
        }
    }
    if judgements.is_empty() {
        return Err(StreamError::Empty.into());
    }
    all_expected(&missing)?;
    across::add(&mut judgements, question);
    Ok(judgements)
}

fn take<W: Write>(
    kind: RecordType,
    line: RawLine<'_>,
    survey: Option<&mut Survey<'_>>,
    output: &mut Output<W>,
) -> Result<()> {
    let Some(survey) = survey else {
        return Ok(output.pass(line)?);
    };
    match kind {
        RecordType::Workload => return workload(line, survey, output),
        RecordType::ControlPlane => {
            let waited = survey.control_plane(line)?;
            output.pass(line)?;
            for early in waited {
                workload(early.line(), survey, output)?;
            }
            return Ok(());
        }
        RecordType::Extension => survey.extension(line)?,
        RecordType::Unseen => survey.unseen(line)?,
        RecordType::Stream
        | RecordType::Proxy
        | RecordType::Anomaly
        | RecordType::Finding
        | RecordType::Plan
        | RecordType::Verdict
        | RecordType::Intent
        | RecordType::Step
        | RecordType::Progress
        | RecordType::Rolled
        | RecordType::Skipped
        | RecordType::End
        | RecordType::Foreign => {}
    }
    Ok(output.pass(line)?)
}

fn workload<W: Write>(
    line: RawLine<'_>,
    survey: &mut Survey<'_>,
    output: &mut Output<W>,
) -> Result<()> {
    if let Some(judged) = survey.workload(line)? {
        output.splice(line, "skew", &judged.skew)?;
    }
    Ok(())
}

fn all_expected(missing: &[String]) -> Result<(), Explained> {
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!(
        "--expect names clusters that are not in the input: {}",
        missing.join(", ")
    );
    Err(Explained::new(
        what,
        "read the error of mesh-survey for that cluster, on stderr",
    ))
}

fn conclude<W: Write>(judgements: Vec<Judgement>, output: &mut Output<W>) -> Result<Exit> {
    let pass = judgements.iter().all(|judgement| judgement.verdict.pass);
    let mut plans = Vec::new();
    let mut verdicts = Vec::new();
    for Judgement {
        findings,
        plan,
        verdict,
        waivers: _,
        notes: _,
    } in judgements
    {
        for finding in findings {
            output.emit(&Record::Finding(Box::new(finding)))?;
        }
        plans.extend(plan.map(Record::Plan));
        verdicts.push(Record::Verdict(Box::new(verdict)));
    }
    for record in plans.iter().chain(&verdicts) {
        output.emit(record)?;
    }
    let exit = if pass { Exit::Yes } else { Exit::No };
    output.end(closing(exit, EndOutcome::Complete, None))?;
    Ok(exit)
}

fn closing(exit: Exit, outcome: EndOutcome, reason: Option<String>) -> Closing {
    Closing {
        tool: Tool::MeshSkewcheck,
        cluster: None,
        run: None,
        outcome,
        exit,
        blind: Vec::new(),
        reason,
        next: None,
    }
}

fn is_reader_gone(error: &anyhow::Error) -> bool {
    let broken = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(broken)
}
