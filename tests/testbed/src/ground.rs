//! What a bed stands on: real servers, or the lab.

use std::{net::IpAddr, net::Ipv4Addr, net::SocketAddr, path::Path, sync::Arc};

use mesh_lab::Lab;
use tempfile::TempDir;

use crate::{
    assets::Assets, bed::Bed, capability::Capability, children::Children, fault::Log, place::Place,
};

pub(crate) enum Ground {
    Real(Box<Real>),
    Lab {
        lab: Arc<Lab>,
        log: Arc<Log>,
        dir: TempDir,
    },
}

/// Real servers. The order of the last two is the order in which they end.
pub(crate) struct Real {
    pub(crate) assets: Assets,
    pub(crate) children: Children,
    pub(crate) place: Place,
}

impl Ground {
    pub(crate) fn dir(&self) -> &Path {
        match self {
            Self::Real(real) => real.place.dir(),
            Self::Lab { dir, .. } => dir.path(),
        }
    }

    /// The API server's address.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Real(real) => SocketAddr::new(real.place.address(), real.place.api_port()),
            Self::Lab { lab, .. } => lab.address(),
        }
    }

    pub(crate) fn server(&self) -> String {
        match self {
            Self::Real(real) => real.place.api_server(),
            Self::Lab { lab, .. } => format!("http://{}", lab.address()),
        }
    }

    /// Where the bed's own listeners may be.
    pub(crate) fn home(&self) -> IpAddr {
        match self {
            Self::Real(real) => real.place.address(),
            Self::Lab { .. } => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// What this bed's logs are called.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Real(real) => real.place.range().to_string(),
            Self::Lab { lab, .. } => format!("lab-{}", lab.address().port()),
        }
    }
}

impl Bed {
    /// The lab that this bed stands on, if it does.
    pub fn as_lab(&self) -> Option<&Arc<Lab>> {
        match &self.ground {
            Ground::Real(_) => None,
            Ground::Lab { lab, .. } => Some(lab),
        }
    }

    /// The real servers and programs. A test that `need`s them is registered for the real bed alone.
    #[track_caller]
    pub(crate) fn real(&self, need: Capability) -> &Real {
        match &self.ground {
            Ground::Real(real) => real,
            Ground::Lab { .. } => panic!("the lab lacks this: {need:?}"),
        }
    }

    /// Another cluster of this bed's kind.
    pub fn another(&self) -> anyhow::Result<Self> {
        match &self.ground {
            Ground::Real(_) => Self::start(),
            Ground::Lab { .. } => Self::lab(),
        }
    }
}

impl std::fmt::Debug for Ground {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Real(real) => real.place.fmt(f),
            Self::Lab { lab, .. } => lab.fmt(f),
        }
    }
}
