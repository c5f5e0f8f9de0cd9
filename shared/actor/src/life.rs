//! Runs an action from start to end: writes `stream`, runs the tool's steps, and writes `end` in
//! every case, even after a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use mesh_cli::{Exit, bug, host, records_from_stdin, report};
use mesh_cluster::{Cluster, Signals, Why};
use mesh_records::{By, Stream, whole_seconds};
use tokio::runtime::{Builder, Runtime};

use crate::actor::Actor;
use crate::args::ActorArgs;
use crate::ending::{Ending, Outcome};
use crate::interruption::{Heard, Interruption};
use crate::run::Run;
use crate::voice::{VERSION, Voice};

/// How long the end of a run waits for its tasks to be dropped.
const DROPS: Duration = Duration::from_millis(250);

impl Actor {
    /// Runs the tool. `life` has the tool's own steps, which run after `stream` was written.
    pub fn run(
        self,
        args: &ActorArgs,
        life: impl AsyncFnOnce(&mut Run) -> Outcome<Ending>,
    ) -> ExitCode {
        let tool = self.tool.name();
        let voice = match Voice::new(self, args).context("cannot start") {
            Ok(voice) => voice,
            Err(error) => return report(tool, Err(error)),
        };
        // Writing to stdout can block; the lease is renewed on its own thread, and a signal ends the
        // write.
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let exit = match runtime.context("cannot start") {
            Ok(runtime) => {
                let exit = live(&runtime, voice, args, life);
                // Drops what still runs, such as a credentials plugin, but does not wait for a thread
                // that reads the terminal or standard input.
                runtime.shutdown_timeout(DROPS);
                exit
            }
            Err(error) => voice.close(Ending::Failed(error), args),
        };
        ExitCode::from(exit.code())
    }
}

fn live(
    runtime: &Runtime,
    mut voice: Voice,
    args: &ActorArgs,
    life: impl AsyncFnOnce(&mut Run) -> Outcome<Ending>,
) -> Exit {
    let (cluster, cluster_uid, signals, by) = match guarded(runtime, open(&mut voice, args)) {
        Ok(opened) => opened,
        Err(ending) => return voice.close(ending, args),
    };
    let mut run = Run {
        cluster: Arc::new(cluster),
        cluster_uid,
        args: args.clone(),
        voice,
        signals,
        heard: Heard::default(),
        lock: None,
        patience: None,
        by: by.map_or_else(host, |by| format!("{}@{}", by.user, by.host)),
    };
    let ending = match guarded(runtime, life(&mut run)) {
        Ok(ending) | Err(ending) => ending,
    };
    runtime.block_on(run.release(&ending));
    run.voice.close(ending, args)
}

// A panic counts as a failure. What is needed to end the run is kept outside of the guarded future.
fn guarded<T>(runtime: &Runtime, future: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let caught = catch_unwind(AssertUnwindSafe(|| runtime.block_on(future)));
    caught.unwrap_or_else(|panic| Err(bug(&*panic).into()))
}

type Opened = (Cluster, String, Signals, Option<By>);

// Writes the `stream` as soon as it is known who asks which cluster.
async fn open(voice: &mut Voice, args: &ActorArgs) -> Outcome<Opened> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    voice.record_to(args)?;
    if voice.actor.question.is_some() {
        drop(records_from_stdin(&voice.again)?);
    }
    let agent = format!("{}/{VERSION}", voice.actor.tool);
    let (cluster, uid, by) = tokio::select! {
        opened = connect(args, &agent) => opened?,
        asked = signals.next() => return Err(Interruption::from(asked).into()),
    };
    let time = cluster.now();
    let time = time.context("the API server's answers have no date")?;
    voice.label = Some(cluster.label().to_owned());
    voice.open(Stream {
        time: Some(whole_seconds(time)),
        cluster_uid: Some(uid.clone()),
        by: by.clone(),
        ..voice.stream()
    })?;
    Ok((cluster, uid, signals, by))
}

async fn connect(args: &ActorArgs, agent: &str) -> Outcome<(Cluster, String, Option<By>)> {
    let cluster = args.cluster.open(agent).await?;
    let uid = cluster.uid().await?;
    let by = match cluster.whoami().await {
        Ok(user) => Some(By {
            user: user.username,
            groups: user.groups,
            host: host(),
        }),
        // API servers before 1.28 cannot answer who the user is; then the user is unknown.
        Err(error) if error.why() == Why::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    Ok((cluster, uid, by))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;
    use http::StatusCode;
    use http::request::Parts;
    use mesh_lab::{Lab, Witness};
    use mesh_records::Tool;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: ActorArgs,
    }

    // The requests that the API server got. They show whether the lock was released: the Lease then
    // has no holder.
    #[derive(Debug, Default)]
    struct Requests(std::sync::Mutex<Vec<String>>);

    impl Witness for Requests {
        fn arrived(&self, request: &Parts, body: &[u8]) -> usize {
            let body = String::from_utf8_lossy(body);
            let mut all = self.0.lock().unwrap();
            all.push(format!("{} {} {body}", request.method, request.uri.path()));
            0
        }

        fn answered(&self, _: usize, _: StatusCode) {}
    }

    struct Bed {
        folder: tempfile::TempDir,
        requests: Arc<Requests>,
        _runtime: Runtime,
    }

    impl Bed {
        fn new() -> Self {
            let runtime = Runtime::new().unwrap();
            let requests = Arc::new(Requests::default());
            let witness = Arc::clone(&requests);
            let lab = runtime.block_on(Lab::start(witness)).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let server = format!("{{server: \"http://{}\"}}", lab.address());
            let kubeconfig = format!(
                "{{apiVersion: v1, kind: Config, current-context: eu, users: [{{name: u, user: {{}}}}], \
                 clusters: [{{name: c, cluster: {server}}}], \
                 contexts: [{{name: eu, context: {{cluster: c, user: u}}}}]}}"
            );
            std::fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
            Self {
                folder,
                requests,
                _runtime: runtime,
            }
        }

        fn run(
            &self,
            kubeconfig: &str,
            life: impl AsyncFnOnce(&mut Run) -> Outcome<Ending>,
        ) -> (ExitCode, Vec<Value>) {
            let path = |name: &str| self.folder.path().join(name).display().to_string();
            let (kubeconfig, record) = (path(kubeconfig), path("records"));
            let flags = ["t", "--kubeconfig", &kubeconfig, "--record", &record];
            let Line { args } = Line::parse_from(flags);
            let actor = Actor {
                tool: Tool::MeshRoll,
                question: None,
            };
            let exit = actor.run(&args, life);
            let records = std::fs::read_to_string(record).unwrap();
            let records = records
                .lines()
                .map(|line| serde_json::from_str(line).unwrap());
            (exit, records.collect())
        }
    }

    #[test]
    fn a_panic_ends_the_run_like_any_failure_and_lets_the_lock_go() {
        let bed = Bed::new();
        let (exit, records) = bed.run("kubeconfig", async |run| {
            let taken = run.take_lock("default", "roll", Duration::ZERO).await?;
            run.hold(taken.lock);
            run.may_write()?;
            panic!("a planted bug");
        });
        assert_eq!(exit, ExitCode::from(2));
        let [stream, end] = &records[..] else {
            panic!("{records:?}");
        };
        assert_eq!(stream["cluster"], "eu");
        assert!(stream["cluster_uid"].is_string(), "{stream}");
        assert_eq!(end["outcome"], "failed");
        assert_eq!(end["exit"], 2);
        assert!(end["reason"].as_str().unwrap().contains("a planted bug"));
        let requests = bed.requests.0.lock().unwrap();
        let lease = |it: &&String| it.contains("/leases/mesh-tools");
        let last = requests.iter().rfind(lease).unwrap();
        assert!(last.starts_with("PATCH"), "{last}");
        assert!(last.contains("\"holderIdentity\":null"), "{last}");
    }

    #[test]
    fn a_run_that_finds_no_cluster_says_so_between_a_stream_and_an_end() {
        let bed = Bed::new();
        let (exit, records) = bed.run("nothing", async |_| panic!("it cannot begin"));
        assert_eq!(exit, ExitCode::from(2));
        let [stream, end] = &records[..] else {
            panic!("{records:?}");
        };
        assert!(stream.get("cluster_uid").is_none(), "{stream}");
        assert_eq!(end["outcome"], "failed");
    }
}
