//! What a bed runs on: real servers or the lab.

use std::{net::IpAddr, net::Ipv4Addr, net::SocketAddr, path::Path, sync::Arc};

use mesh_lab::Lab;
use tempfile::TempDir;

use crate::{assets::Assets, children::Children, fault::Log, place::Place};

pub(crate) enum Ground {
    Real(Box<Real>),
    Lab {
        lab: Arc<Lab>,
        log: Arc<Log>,
        dir: TempDir,
    },
}

/// Real servers. Fields are dropped in order: the children must end before the place is free.
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

    /// Returns the API server's address.
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

    /// Returns the address for the bed's own listeners.
    pub(crate) fn home(&self) -> IpAddr {
        match self {
            Self::Real(real) => real.place.address(),
            Self::Lab { .. } => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// Returns the name of this bed's logs.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Real(real) => real.place.range().to_string(),
            Self::Lab { lab, .. } => format!("lab-{}", lab.address().port()),
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
