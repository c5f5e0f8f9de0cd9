//! `LINKERD_INJECTOR`: one process of that program for each injector pod.
//!
//! A process sees its pod's configuration, trust roots and TLS pair below `/var/run/linkerd`, which
//! are constants of the real program. It therefore runs in a mount namespace of its own.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use tokio::{
    net::TcpStream,
    sync::watch,
    task::{AbortHandle, JoinSet},
};

use super::{
    mounts::{Mounts, Volumes},
    values::NAMESPACE,
};
use crate::{
    assets::of_version, children::Children, delay::duration, journal::Journal, lock::lock,
    place::Place,
};

const VARIABLE: &str = "LINKERD_INJECTOR";
const DELAY: &str = "LINKERD_INJECTOR_MOUNT_DELAY";
const COMPONENT: &str = "linkerd.io/control-plane-component";
const CONTAINER: &str = "proxy-injector";
const PORT: u16 = 8443;
const METRICS_PORT: u16 = 9995;
/// How long a process may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);
/// Hides the machine's own /run, and puts the pod's files below it.
const IN_ITS_OWN_MOUNTS: &str = r#"
run=$(readlink -f /var/run) && mount -t tmpfs tmpfs "$run" && mkdir "$run/linkerd" &&
mount --bind "$1" "$run/linkerd" && shift && exec "$@""#;

/// The processes of a bed's injector pods.
pub(crate) struct Processes {
    program: PathBuf,
    dir: PathBuf,
    range: u8,
    children: Children,
    journal: Journal,
    delay: Mutex<Duration>,
    volumes: watch::Sender<Volumes>,
    is_frozen: watch::Sender<bool>,
    next: AtomicU8,
    pods: Mutex<BTreeMap<String, AbortHandle>>,
    /// Where the pods listen whose processes do.
    listening: watch::Sender<BTreeMap<String, SocketAddr>>,
}

/// A pod with the address that its process gets.
struct Started {
    pod: String,
    tag: String,
    address: Ipv4Addr,
}

impl Processes {
    /// None where no program is named.
    pub(crate) fn from_env(place: &Place, journal: &Journal) -> anyhow::Result<Option<Arc<Self>>> {
        let Some(program) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
            return Ok(None);
        };
        ensure!(
            program.exists(),
            "{VARIABLE} names {}, which does not exist",
            program.display()
        );
        let pause = match std::env::var_os(DELAY) {
            Some(text) => duration(&text.to_string_lossy())
                .map_err(|error| anyhow::anyhow!("{DELAY}: {error}"))?,
            None => Duration::ZERO,
        };
        let processes = Self {
            program,
            dir: place.path("injectors"),
            range: place.range(),
            children: Children::new(place.dir()),
            journal: journal.clone(),
            delay: Mutex::new(pause),
            volumes: watch::Sender::default(),
            is_frozen: watch::Sender::default(),
            next: AtomicU8::new(1),
            pods: Mutex::default(),
            listening: watch::Sender::default(),
        };
        Ok(Some(Arc::new(processes)))
    }

    /// Sets how long a change of the cluster takes to reach the files of a pod that runs.
    pub(super) fn set_delay(&self, pause: Duration) {
        *lock(&self.delay) = pause;
    }

    /// Keeps the files as they are, or lets them follow the cluster again.
    pub(super) fn freeze(&self, is_frozen: bool) {
        self.is_frozen.send_replace(is_frozen);
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Volumes)) {
        self.volumes.send_if_modified(|volumes| {
            let before = volumes.clone();
            change(volumes);
            *volumes != before
        });
    }

    /// Has a process for each of the injector's pods, and no other.
    pub(super) fn follow(self: &Arc<Self>, seen: &BTreeMap<String, Pod>) {
        let alive = seen.values().filter(|pod| {
            let is_bound = pod
                .spec
                .as_ref()
                .is_some_and(|spec| spec.node_name.is_some());
            is_bound && pod.metadata.deletion_timestamp.is_none()
        });
        let alive: BTreeMap<String, &Pod> = alive.map(|pod| (pod.name_any(), pod)).collect();
        let mut pods = lock(&self.pods);
        pods.retain(|name, task| {
            let stays = alive.contains_key(name);
            if !stays {
                task.abort();
                self.end(name);
            }
            stays
        });
        for (name, pod) in alive {
            pods.entry(name.clone()).or_insert_with(|| {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let started = Started {
                    pod: name,
                    tag: tag(pod).unwrap_or_default(),
                    address: Ipv4Addr::new(127, self.range, 254, number),
                };
                let processes = Arc::clone(self);
                let task = tokio::spawn(async move {
                    if let Err(error) = processes.play(&started).await {
                        let note = format!("{}: {error:#}", started.pod);
                        processes.journal.note("injector", note);
                    }
                });
                task.abort_handle()
            });
        }
    }

    fn end(&self, pod: &str) {
        self.listening
            .send_modify(|listening| listening.retain(|name, _| name != pod));
        if self.children.pids().contains_key(pod)
            && let Err(error) = self.children.end(pod)
        {
            self.journal.note("injector", format!("{pod}: {error:#}"));
        }
    }

    async fn play(&self, started: &Started) -> anyhow::Result<()> {
        let mounts = Mounts::new(self.dir.join(&started.pod))?;
        let mut volumes = self.volumes.subscribe();
        let whole = volumes.wait_for(Volumes::is_whole).await?.clone();
        mounts.write(&whole)?;
        self.start(started, &mounts).await?;
        let address = SocketAddr::from((started.address, PORT));
        self.listening
            .send_modify(|all| all.extend([(started.pod.clone(), address)]));
        let mut frozen = self.is_frozen.subscribe();
        let mut pending = JoinSet::new();
        let mut written = whole;
        loop {
            tokio::select! {
                changed = volumes.changed() => {
                    changed?;
                    let (now, pause) = (volumes.borrow_and_update().clone(), *lock(&self.delay));
                    pending.spawn(async move {
                        tokio::time::sleep(pause).await;
                        now
                    });
                }
                Some(due) = pending.join_next() => written = due?,
                changed = frozen.changed() => changed?,
            }
            if !*frozen.borrow_and_update() {
                mounts.write(&written)?;
            }
        }
    }

    /// Starts the program and waits until it listens. The injector of a release is a subcommand of
    /// its controller; a program that ends at once without it is started with it.
    async fn start(&self, started: &Started, mounts: &Mounts) -> anyhow::Result<()> {
        let program = of_version(&self.program, &started.tag).with_context(|| {
            format!(
                "{VARIABLE}: {} has no program for {}",
                self.program.display(),
                started.tag
            )
        })?;
        for subcommand in [None, Some(CONTAINER)] {
            let args = self.args(started, mounts, &program, subcommand);
            self.children.start(&started.pod, Path::new("env"), &args)?;
            let listens = self.listens(started);
            match tokio::time::timeout(PATIENCE, listens).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(_) => anyhow::bail!("it does not listen after {PATIENCE:?}"),
            }
        }
        anyhow::bail!("it ended: {}", self.children.log(&started.pod).display())
    }

    fn args(
        &self,
        started: &Started,
        mounts: &Mounts,
        program: &Path,
        subcommand: Option<&str>,
    ) -> Vec<String> {
        let Started {
            pod: _,
            tag,
            address,
        } = started;
        let kubeconfig = self.dir.with_file_name("kubeconfig-machinery");
        let mut args = vec![
            format!("KUBECONFIG={}", kubeconfig.display()),
            format!("LINKERD_CONTAINER_VERSION_OVERRIDE={tag}"),
            "unshare".to_owned(),
            "--mount".to_owned(),
            "sh".to_owned(),
            "-c".to_owned(),
            IN_ITS_OWN_MOUNTS.to_owned(),
            "sh".to_owned(),
            mounts.root().display().to_string(),
            program.display().to_string(),
        ];
        args.extend(subcommand.map(str::to_owned));
        args.push(format!("-addr={address}:{PORT}"));
        args.push(format!("-metrics-addr={address}:{METRICS_PORT}"));
        args
    }

    // Whether it came to listen, or ended before.
    async fn listens(&self, started: &Started) -> bool {
        loop {
            if TcpStream::connect((started.address, PORT)).await.is_ok() {
                return true;
            }
            if self.children.has_ended(&started.pod) {
                return false;
            }
            // Nothing tells when somebody else's process begins to listen.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until an injector pod's process listens; any other pod need not wait.
    pub(crate) async fn ready(&self, pod: &Pod) -> anyhow::Result<()> {
        let is_injector = pod.namespace().as_deref() == Some(NAMESPACE)
            && pod
                .labels()
                .get(COMPONENT)
                .is_some_and(|it| it == CONTAINER);
        if is_injector {
            let name = pod.name_any();
            let mut listening = self.listening.subscribe();
            listening.wait_for(|all| all.contains_key(&name)).await?;
        }
        Ok(())
    }

    /// A connection to any process that takes one.
    pub(super) async fn connect(&self) -> Option<TcpStream> {
        let addresses: Vec<SocketAddr> = self.listening.borrow().values().copied().collect();
        for address in addresses {
            if let Ok(stream) = TcpStream::connect(address).await {
                return Some(stream);
            }
        }
        None
    }
}

/// The tag of the injector's own container.
fn tag(pod: &Pod) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    let own = containers
        .iter()
        .find(|container| container.name == CONTAINER)?;
    let image = own.image.as_deref()?.split('@').next()?;
    Some(image.rsplit_once(':')?.1.to_owned())
}
