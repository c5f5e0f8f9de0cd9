//! The asynchronous part: waits for the API server, signals and the reader of the output.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, anyhow};
use futures::FutureExt as _;
use mesh_cli::{Exit, Output, Readers, Stdout, run_id, warn};
use mesh_cluster::{Cluster, Signals, signals};
use mesh_records::{Source, Stream, Tool, Unseen, whole_seconds};

use crate::args::{Args, scope};
use crate::dump;
use crate::look::{Ask, Blocked, Wish, look};
use crate::report::{Looked, Report};
use crate::survey::Survey;

type Out = std::io::BufWriter<Stdout>;

const AGENT: &str = concat!("mesh-survey/", env!("CARGO_PKG_VERSION"));

pub(crate) async fn drive(args: &Args) -> Result<Exit> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let output = Output::stdout(&args.output, Readers::Needed).context("cannot start")?;
    let mut report = Report::new(output, args.cluster.label());
    let looked = tokio::select! {
        biased;
        _ = signals.next() => Looked::Stopped,
        looked = AssertUnwindSafe(survey(args, &mut report)).catch_unwind() => match looked {
            Ok(looked) => looked?,
            Err(panic) => Looked::of_bug(&*panic),
        },
    };
    // Writing to stdout can block; on a thread of its own it does not delay a signal.
    let stopping = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopping);
    let mut writing = tokio::task::spawn_blocking(move || report.finish(looked, &stop));
    loop {
        tokio::select! {
            written = &mut writing => return written.context("cannot write the records")?,
            asked = signals.next() => match asked {
                signals::Asked::Once(_) => stopping.store(true, Ordering::Relaxed),
                signals::Asked::Again(number) => return Ok(Exit::Signal(number)),
            },
        }
    }
}

// A failure of the cluster is part of the result (`Looked`); only a failure of the output is an
// error here.
async fn survey(args: &Args, report: &mut Report<Out>) -> Result<Looked> {
    if !args.dump.from.is_empty() {
        let cluster = args.cluster.label().unwrap_or_else(|| "dump".to_owned());
        let args = args.clone();
        // Reading stdin can block; on a thread of its own it does not delay a signal.
        let read = tokio::task::spawn_blocking(move || dump::survey(&args, &cluster));
        let (stream, looked) = match read.await {
            Ok(read) => read,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => return Ok(Looked::of_bug(&*panic)),
                Err(error) => return Err(error).context("cannot read the dump"),
            },
        };
        report.open(stream)?;
        return Ok(looked);
    }
    let cluster = match args.cluster.open(AGENT).await {
        Ok(cluster) => cluster,
        Err(error) => {
            let error = error.into();
            return Ok(Looked::Failed {
                error,
                unseen: Vec::new(),
            });
        }
    };
    report.name(cluster.label());
    let wish = args.wish();
    let ask = Ask::new(&cluster).counting(report.counts_pods(cluster.label()));
    let uid = match ask.uid().await {
        Ok(uid) => uid,
        Err(blocked) => return Ok(blind(&cluster, blocked, &wish).await),
    };
    report.open(opening(args, &cluster, uid))?;
    let looked = look(ask, &wish).await;
    report.has_listed();
    match looked {
        Ok(survey) => {
            remark(&cluster, &survey);
            Ok(Looked::Whole(Box::new(survey)))
        }
        Err(blocked) => Ok(blind(&cluster, blocked, &wish).await),
    }
}

// After one refusal, all rights that are missing are named, so that one change brings them all.
async fn blind(cluster: &Cluster, blocked: Blocked, wish: &Wish) -> Looked {
    let Blocked { error, unseen } = blocked;
    let mut unseen: Vec<Unseen> = unseen.into_iter().map(|it| *it).collect();
    if let Some(first) = unseen.first() {
        let (verb, resource) = (first.verb.clone(), first.resource.clone());
        // Without an answer, the first refusal is still told.
        let others = Ask::new(cluster).lacking(wish).await.unwrap_or_default();
        let others = others.into_iter();
        unseen.extend(others.filter(|it| it.verb != verb || it.resource != resource));
        let rules: BTreeSet<&str> = unseen.iter().skip(1).map(|it| it.rule.as_str()).collect();
        for rule in rules {
            warn("mesh-survey", &anyhow!("this user also lacks: {rule}"));
        }
    }
    let error = anyhow::Error::new(*error).context(format!("cannot survey {}", cluster.label()));
    Looked::Failed { error, unseen }
}

fn opening(args: &Args, cluster: &Cluster, uid: String) -> Stream {
    Stream {
        cluster: Some(cluster.label().to_owned()),
        run: Some(run_id()),
        time: cluster.now().map(whole_seconds),
        cluster_uid: Some(uid),
        source: Some(Source::Server),
        flags: Some(cluster.paste()),
        consistency: Some(args.wish().consistency),
        scope: Some(scope(&args.wish())),
        ..Stream::of(Tool::MeshSurvey, env!("CARGO_PKG_VERSION"))
    }
}

fn remark(cluster: &Cluster, survey: &Survey) {
    if survey.restarts > 0 {
        let again = "a list expired on the API server, or broke off; mesh-survey read it again from the start";
        warn("mesh-survey", &anyhow!(again));
    }
    if survey.control_planes.is_empty() {
        let none = format!(
            "{} has no Linkerd control plane; check --context and -L NAMESPACE",
            cluster.label()
        );
        warn("mesh-survey", &anyhow!(none));
    }
}
