//! The `testbed` program: a long-running bed for people and scripts.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _, stdin, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::{Bed, Charts, apply, fleet, load, replay::Replay, start::client_of, warehouse};

/// The version that the shop starts with: the last but one stable minor version.
const SHOP_VERSION: &str = "stable-2.13.7";

/// A real Kubernetes control plane on loopback, with a stand-in kubelet and proxy injector
#[derive(Debug, Parser)]
#[command(name = "testbed")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a cluster until interrupted; write its kubeconfig and the servers' pids into DIR
    Serve {
        dir: PathBuf,
        /// The name of the kubeconfig's context
        #[arg(long, default_value = "testbed")]
        context: String,
        /// Install this Linkerd version
        #[arg(long, value_name = "VERSION")]
        linkerd: Option<String>,
        /// Add the demo workloads, and install stable-2.13.7 unless --linkerd names another version
        #[arg(long)]
        shop: bool,
        /// Run the lab in this process instead of real servers
        #[arg(long)]
        lab: bool,
    },
    /// Write the charts of a Linkerd version into DIR, and a values file if DIR has none
    ///
    /// `serve` writes the values of its cluster into its DIR.
    Charts { version: String, dir: PathBuf },
    /// Apply the manifests of standard input to DIR's cluster, as `kubectl apply -f -` does
    Apply { dir: PathBuf },
    /// Fix the demo workloads of the cluster in DIR as their owners would: remove a pin, and release
    /// a version that works
    Mend { dir: PathBuf },
    /// Create so many Deployments of one pod each in the cluster in DIR, and wait until all are ready
    Fleet { dir: PathBuf, workloads: usize },
    /// Fill the cluster in DIR with meshed pods of real size that do not run; its controllers are
    /// paused from then on
    Load { dir: PathBuf, pods: usize },
    /// Answer as a cluster with TIMES as many pods as the loaded one in DIR, until interrupted, and
    /// write a kubeconfig for it
    Replay {
        dir: PathBuf,
        #[arg(value_parser = clap::value_parser!(u8).range(1..=99))]
        times: u8,
        kubeconfig: PathBuf,
    },
    /// Check whether this machine can run the real servers; fail with what is missing
    Check,
}

/// Runs the program.
pub fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Serve {
            dir,
            context,
            linkerd,
            shop,
            lab,
        } => {
            let linkerd = linkerd.or_else(|| shop.then(|| SHOP_VERSION.to_owned()));
            serve(&dir, &context, linkerd.as_deref(), shop, lab)
        }
        Command::Check => Ok(Bed::check()?),
        Command::Charts { version, dir } => Charts::write(&dir, &version, None).map(drop),
        Command::Apply { dir } => apply(&dir.join("kubeconfig"), &io::read_to_string(stdin())?),
        Command::Fleet { dir, workloads } => fleet(&dir.join("kubeconfig"), workloads),
        Command::Load { dir, pods } => load(&dir, pods),
        Command::Replay {
            dir,
            times,
            kubeconfig,
        } => replay(&dir, times, &kubeconfig),
        Command::Mend { dir } => mend(&dir.join("kubeconfig")),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn apply(kubeconfig: &Path, manifests: &str) -> anyhow::Result<()> {
    apply::apply(&client_of(kubeconfig).await?, manifests).await
}

#[tokio::main(flavor = "current_thread")]
async fn mend(kubeconfig: &Path) -> anyhow::Result<()> {
    warehouse::mend(client_of(kubeconfig).await?).await
}

#[tokio::main(flavor = "current_thread")]
async fn fleet(kubeconfig: &Path, workloads: usize) -> anyhow::Result<()> {
    fleet::create_all(client_of(kubeconfig).await?, workloads).await
}

#[tokio::main(flavor = "current_thread")]
async fn load(dir: &Path, pods: usize) -> anyhow::Result<()> {
    let pids = fs::read_to_string(dir.join("pids")).context("no real cluster runs here")?;
    for (pid, name) in pids.lines().filter_map(|line| line.split_once(' ')) {
        let pid = pid.parse().ok().and_then(Pid::from_raw);
        if load::CONTROLLERS.iter().any(|it| it.name() == name)
            && let Some(pid) = pid
        {
            kill_process(pid, Signal::STOP)?;
        }
    }
    load::load(client_of(&dir.join("kubeconfig")).await?, pods).await
}

#[tokio::main(flavor = "current_thread")]
async fn replay(dir: &Path, times: u8, kubeconfig: &Path) -> anyhow::Result<()> {
    let client = client_of(&dir.join("kubeconfig")).await?;
    Replay::of(client, times).await?.serve(kubeconfig).await
}

fn serve(
    dir: &Path,
    context: &str,
    linkerd: Option<&str>,
    shop: bool,
    lab: bool,
) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let dir = dir.canonicalize()?;
    let bed = if lab { Bed::lab()? } else { Bed::start()? };
    let kubeconfig = dir.join("kubeconfig");
    fs::copy(bed.kubeconfig_named(context)?, &kubeconfig)?;
    let servers = if lab { BTreeMap::new() } else { bed.pids() };
    fs::write(dir.join("bed"), format!("{}\n", bed.dir().display()))?;
    let pids = servers
        .into_iter()
        .map(|(name, pid)| format!("{pid} {name}\n"));
    fs::write(dir.join("pids"), pids.collect::<String>())?;
    if let Some(version) = linkerd {
        fs::copy(bed.charts(version)?.values, dir.join("values.yaml"))?;
        bed.install_linkerd(version)?;
    }
    if shop {
        bed.shop()?;
        bed.warehouse(linkerd.unwrap_or(SHOP_VERSION))?;
    }
    writeln!(stdout(), "export KUBECONFIG={}", kubeconfig.display())?;
    bed.block_on(interrupted())
}

async fn interrupted() -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the program's one error printer")]
fn complain(error: &anyhow::Error) {
    eprintln!("testbed: {error:#}");
}
