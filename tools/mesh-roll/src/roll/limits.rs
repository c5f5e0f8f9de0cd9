//! What has to hold before anything is written.

use jiff::Timestamp;
use mesh_records::Trouble;

use super::watched::Mesh;
use super::world::World;

/// Why nothing more is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Signal(u8),
    ReaderGone,
    LockLost(String),
    /// The control plane is not what it was.
    Changed(String),
    /// The verdict is too old.
    Stale,
    Deadline,
    /// The injector does not give what it should.
    Injector(String),
    /// Too many workloads failed.
    Failures,
    /// A new pod is not as the injector should have made it.
    Broken(Trouble),
    /// The API server shows nothing any more.
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

/// Why nothing is written at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nor later.
    Stop(Stop),
    /// What is known is being renewed.
    Listing,
    /// The injector has no ready endpoint.
    NoEndpoint,
}

/// The times after which nothing is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) verdict_until: Timestamp,
    pub(crate) deadline: Option<Timestamp>,
}

/// Whether anything may be written now.
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
    if world.mesh().endpoints == 0 {
        return Err(Hold::NoEndpoint);
    }
    Ok(())
}

// === impl Expected ===

impl Expected {
    /// How the control plane differs from what the verdict saw.
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
            return Some(format!("its version was {version} and is {now}"));
        }
        let differs =
            |before: &Option<String>, now: &Option<String>| before.is_some() && before != now;
        if differs(injects, &mesh.injects) || mesh.injects.is_none() {
            let (before, now) = (word(injects), word(&mesh.injects));
            return Some(format!("it injected {before}, and now it is {now}"));
        }
        if differs(anchors, &mesh.anchors) {
            return Some("its trust anchors are others".to_owned());
        }
        differs(config_resource_version, &mesh.config_resource_version)
            .then(|| "its configuration was written to".to_owned())
    }
}

// === impl Stop ===

impl Stop {
    /// What stopped the run.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Signal(number) => format!("told to stop by signal {number}"),
            Self::ReaderGone => "nobody reads the records any more".to_owned(),
            Self::LockLost(why) => format!("the lock was lost: {why}"),
            Self::Changed(how) => format!("the control plane changed since the verdict: {how}"),
            Self::Stale => "the verdict is too old to go on with".to_owned(),
            Self::Deadline => "the deadline has passed".to_owned(),
            Self::Injector(what) | Self::Blind(what) => what.clone(),
            Self::Failures => "a workload failed".to_owned(),
            Self::Broken(Trouble::NotInjected) => "a new pod came up without a proxy".to_owned(),
            Self::Broken(_) => "a new pod came up with another proxy than it should".to_owned(),
        }
    }

    /// The way out.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Changed(_) | Self::Stale => "survey and judge again, then run the pipeline again",
            Self::Injector(_) | Self::Broken(_) => {
                "look at the proxy injector: its pods, its logs, its webhook's certificate"
            }
            Self::Failures => "look at the workloads that failed, then run the pipeline again",
            Self::Signal(_)
            | Self::ReaderGone
            | Self::LockLost(_)
            | Self::Deadline
            | Self::Blind(_) => "run the pipeline again: it carries on where this run stopped",
        }
    }

    /// Whether nothing at all could be done because of it, where nothing was written before.
    pub(crate) fn is_a_refusal(&self) -> bool {
        match self {
            Self::Changed(_) | Self::Stale | Self::Injector(_) | Self::Blind(_) => true,
            Self::Signal(_)
            | Self::ReaderGone
            | Self::LockLost(_)
            | Self::Deadline
            | Self::Failures
            | Self::Broken(_) => false,
        }
    }

    /// The reason that stands in the record of a workload that it interrupted.
    pub(crate) fn trouble(&self) -> Trouble {
        match self {
            Self::LockLost(_) => Trouble::LockLost,
            Self::Signal(_)
            | Self::ReaderGone
            | Self::Changed(_)
            | Self::Stale
            | Self::Deadline
            | Self::Injector(_)
            | Self::Failures
            | Self::Broken(_)
            | Self::Blind(_) => Trouble::Stopped,
        }
    }
}
