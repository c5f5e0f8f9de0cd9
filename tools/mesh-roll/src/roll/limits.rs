//! The conditions for every write.

use jiff::Timestamp;
use mesh_records::{Paste, Trouble};

use super::watched::Mesh;
use super::world::World;

/// Why nothing more is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Signal(u8),
    ReaderGone,
    LockLost(String),
    /// The control plane has changed since the verdict.
    Changed(String),
    /// The verdict is too old.
    Stale,
    Deadline,
    /// A flag leaves nothing to do; in words.
    Idle(String),
    /// With --fail-on attention: this user may not restart the workload, for lack of this RBAC rule.
    Forbidden {
        workload: String,
        rule: String,
    },
    /// The injector does not give the expected proxy.
    Injector(String),
    /// This service of the control plane, which new pods need, has no ready endpoint.
    Silent(&'static str),
    /// Too many workloads failed.
    Failures,
    /// A new pod has no proxy or the wrong one.
    Broken(Trouble),
    /// A canary is not proven; in words.
    Canary(String),
    /// The gate did not let the next wave begin; in words.
    Gate(String),
    /// A workload that was proven did not stay ready.
    Fallen,
    /// A watch or a read of the API server failed for good.
    Blind(String),
}

/// The control plane that the verdict is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) namespace: String,
    pub(crate) version: String,
    pub(crate) config_resource_version: Option<String>,
    pub(crate) injects: Option<String>,
    pub(crate) anchors: Option<String>,
}

/// Why nothing may be written now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nothing may be written later either: stop the run.
    Stop(Stop),
    /// A list is being read again.
    Listing,
    /// This service of the control plane, which new pods need, has no ready endpoint.
    NoEndpoint(&'static str),
}

/// The times after which nothing is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) verdict_until: Timestamp,
    pub(crate) deadline: Option<Timestamp>,
}

/// Returns whether anything may be written now.
pub(crate) fn may_write(
    world: &World,
    expected: &Expected,
    times: &Times,
    now: Timestamp,
) -> Result<(), Hold> {
    if times.deadline.is_some_and(|deadline| now >= deadline) {
        return Err(Hold::Stop(Stop::Deadline));
    }
    if now >= times.verdict_until {
        return Err(Hold::Stop(Stop::Stale));
    }
    if !world.is_complete() {
        return Err(Hold::Listing);
    }
    if let Some(change) = expected.change(world.mesh()) {
        return Err(Hold::Stop(Stop::Changed(change)));
    }
    if let Some(service) = world.mesh().silent {
        return Err(Hold::NoEndpoint(service));
    }
    Ok(())
}

/// Says that a service of the control plane does not answer.
pub(crate) fn silent(service: &str) -> String {
    format!("the control plane's Service {service} has no ready endpoint")
}

// === impl Expected ===

impl Expected {
    /// Returns how the control plane differs from the one that the verdict saw.
    pub(crate) fn change(&self, mesh: &Mesh) -> Option<String> {
        let Self {
            namespace: _,
            version,
            config_resource_version,
            injects,
            anchors,
        } = self;
        let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "not known".to_owned());
        if mesh.version.as_ref() != Some(version) {
            let now = word(&mesh.version);
            return Some(format!("its version was {version} and now is {now}"));
        }
        let differs =
            |before: &Option<String>, now: &Option<String>| before.is_some() && before != now;
        if differs(injects, &mesh.injects) || mesh.injects.is_none() {
            let (before, now) = (word(injects), word(&mesh.injects));
            return Some(format!("it injected {before} and now injects {now}"));
        }
        if differs(anchors, &mesh.anchors) {
            return Some("its trust anchors have changed".to_owned());
        }
        differs(config_resource_version, &mesh.config_resource_version)
            .then(|| "somebody wrote to its linkerd-config".to_owned())
    }
}

// === impl Stop ===

impl Stop {
    /// Returns true if what is proven is still watched, which needs no lock.
    pub(crate) fn lets_watch(&self) -> bool {
        match self {
            Self::Deadline
            | Self::Stale
            | Self::Changed(_)
            | Self::LockLost(_)
            | Self::Failures => true,
            Self::Signal(_)
            | Self::ReaderGone
            | Self::Idle(_)
            | Self::Forbidden { .. }
            | Self::Injector(_)
            | Self::Silent(_)
            | Self::Canary(_)
            | Self::Gate(_)
            | Self::Broken(_)
            | Self::Fallen
            | Self::Blind(_) => false,
        }
    }

    /// Returns a sentence on what stopped the run.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Signal(number) => format!("stopped by signal {number}"),
            Self::ReaderGone => {
                "the program that reads the records has ended (broken pipe)".to_owned()
            }
            Self::LockLost(why) => format!("the lock was lost: {why}"),
            Self::Changed(how) => format!("the control plane changed since the verdict: {how}"),
            Self::Stale => "the verdict is now older than --max-age".to_owned(),
            Self::Deadline => "the time of --deadline, --until or --window has passed".to_owned(),
            Self::Idle(why) => format!("{why}; nothing was changed"),
            Self::Forbidden { workload, .. } => format!(
                "this user may not restart {workload}, and more may follow; nothing was changed"
            ),
            Self::Injector(what) | Self::Blind(what) => what.clone(),
            Self::Silent(service) => silent(service),
            Self::Failures => "more workloads failed than --max-failures allows".to_owned(),
            Self::Canary(how) => format!("{how}, so nothing else was started"),
            Self::Gate(why) => format!("the gate did not let the next wave begin: {why}"),
            Self::Fallen => "a workload that was done did not stay ready".to_owned(),
            Self::Broken(Trouble::NotInjected) => "a new pod started without a proxy".to_owned(),
            Self::Broken(_) => {
                "a new pod started with the wrong proxy version or trust anchors".to_owned()
            }
        }
    }

    /// Returns the hint for a control plane in `namespace`.
    pub(crate) fn hint(&self, paste: &Paste, namespace: &str) -> String {
        let hint = match self {
            Self::Changed(_) | Self::Stale => "run the whole pipeline again, with a new survey",
            Self::Injector(_) | Self::Broken(_) => {
                let of = ["-n", namespace, "logs", "deploy/linkerd-proxy-injector"];
                let logs = paste.kubectl(&[&of[..], &["-c", "proxy-injector"]].concat());
                let check = ["check", "--linkerd-namespace", namespace];
                let check = paste.linkerd("linkerd", &check);
                return format!("run `{check}` and `{logs}`; then run the pipeline again");
            }
            Self::Silent(_) => {
                let check = paste.linkerd("linkerd", &["check", "--linkerd-namespace", namespace]);
                let pods = paste.kubectl(&["-n", namespace, "get", "pods"]);
                return format!("run `{check}` and `{pods}`; then run the pipeline again");
            }
            Self::Idle(_) => {
                let kinds = ["get", "deployments,statefulsets,daemonsets", "-A"];
                let list = paste.kubectl(&[&kinds[..], &["--show-labels"]].concat());
                return format!("check the flag against the workloads' own labels: {list}");
            }
            Self::Forbidden { rule, .. } => {
                return format!(
                    "allow it with the RBAC rule {rule}, or leave out --fail-on attention"
                );
            }
            Self::Gate(_) => {
                "fix what the gate found, then run the pipeline again: it continues where this run stopped"
            }
            Self::Failures | Self::Canary(_) | Self::Fallen => {
                "fix the workloads that failed, then run the pipeline again"
            }
            Self::Signal(_)
            | Self::ReaderGone
            | Self::LockLost(_)
            | Self::Deadline
            | Self::Blind(_) => "run the pipeline again: it continues where this run stopped",
        };
        hint.to_owned()
    }

    /// Returns true if the run counts as failed (exit code 2) when this stops it before the first
    /// write.
    pub(crate) fn is_a_refusal(&self) -> bool {
        match self {
            Self::Changed(_)
            | Self::Stale
            | Self::Idle(_)
            | Self::Forbidden { .. }
            | Self::Injector(_)
            | Self::Silent(_)
            | Self::Blind(_) => true,
            Self::Signal(_)
            | Self::ReaderGone
            | Self::LockLost(_)
            | Self::Deadline
            | Self::Failures
            | Self::Canary(_)
            | Self::Gate(_)
            | Self::Fallen
            | Self::Broken(_) => false,
        }
    }

    /// Returns the reason for the records of workloads that this interrupts.
    pub(crate) fn trouble(&self) -> Trouble {
        match self {
            Self::LockLost(_) => Trouble::LockLost,
            Self::Signal(_)
            | Self::ReaderGone
            | Self::Changed(_)
            | Self::Stale
            | Self::Deadline
            | Self::Idle(_)
            | Self::Forbidden { .. }
            | Self::Injector(_)
            | Self::Silent(_)
            | Self::Failures
            | Self::Canary(_)
            | Self::Gate(_)
            | Self::Fallen
            | Self::Broken(_)
            | Self::Blind(_) => Trouble::Stopped,
        }
    }
}
