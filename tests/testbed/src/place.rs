//! A place on this machine that belongs to one bed: a loopback range and a folder.

use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::assets::Missing;

/// The second number N of the ranges `127.N.0.0/16` that beds may use.
const RANGES: std::ops::RangeInclusive<u8> = 96..=250;

/// The bytes that several beds need for etcd's log and database.
const MUCH: u64 = 4 << 30;

/// A loopback range `127.N.0.0/16` and a folder, both locked. The kernel frees the lock when the
/// process ends, so beds of several processes never use the same range and a crash needs no
/// cleanup.
#[derive(Debug)]
pub(crate) struct Place {
    range: u8,
    api_port: u16,
    dir: PathBuf,
    _lock: File,
}

impl Place {
    /// Checks that this machine lets a process listen on port 443, where the API server calls
    /// webhooks.
    pub(crate) fn check() -> Result<(), Missing> {
        // Port 443 of a Service address that no bed uses.
        match TcpListener::bind((Ipv4Addr::new(127, *RANGES.end() + 1, 127, 254), 443)) {
            Ok(_) => Ok(()),
            // Another bed makes the same check at this moment.
            Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(()),
            Err(error) => Err(Missing::new(format!(
                "cannot listen on port 443 of a loopback address: {error} (run as root, or set net.ipv4.ip_unprivileged_port_start=443)"
            ))),
        }
    }

    pub(crate) fn take() -> anyhow::Result<Self> {
        let user = rustix::process::getuid().as_raw();
        let base = std::env::temp_dir().join(format!("mesh-testbed-{user}"));
        fs::create_dir_all(&base).with_context(|| format!("creating {}", base.display()))?;
        for range in RANGES {
            if let Some(place) = Self::take_range(&base, range)? {
                return Ok(place);
            }
        }
        bail!(
            "all loopback ranges 127.{}-{} are in use by other test beds",
            RANGES.start(),
            RANGES.end()
        )
    }

    fn take_range(base: &Path, range: u8) -> anyhow::Result<Option<Self>> {
        let lock = File::create(base.join(format!("{range}.lock")))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                return Err(error).context("cannot lock a loopback range");
            }
        }
        let dir = memory(base).join(range.to_string());
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("clearing {}", dir.display()))?;
        }
        fs::create_dir_all(&dir)?;
        let place = Self {
            range,
            api_port: unlikely_port(),
            dir,
            _lock: lock,
        };
        // Another server may listen in the range; then the next range is tried.
        let free = [place.api_port, 2379, 2380]
            .into_iter()
            .all(|port| TcpListener::bind((place.address(), port)).is_ok());
        Ok(free.then_some(place))
    }

    /// Returns the servers' address, outside the Services' half of the range.
    pub(crate) fn address(&self) -> IpAddr {
        Ipv4Addr::new(127, self.range, 255, 1).into()
    }

    pub(crate) fn api_port(&self) -> u16 {
        self.api_port
    }

    pub(crate) fn api_server(&self) -> String {
        format!("https://{}:{}", self.address(), self.api_port)
    }

    /// Returns the range of ClusterIPs. It is loopback, so a listener at a ClusterIP on this
    /// machine gets the API server's connections.
    pub(crate) fn services(&self) -> String {
        format!("127.{}.0.0/17", self.range)
    }

    pub(crate) fn range(&self) -> u8 {
        self.range
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Returns where the folders of the beds are: in memory if there is much room, because a busy disk
/// can hold up etcd and the audit log for longer than a client waits.
fn memory(base: &Path) -> PathBuf {
    let memory = Path::new("/dev/shm");
    match (rustix::fs::statvfs(memory), base.file_name()) {
        (Ok(stat), Some(name)) if stat.f_bavail * stat.f_frsize >= MUCH => memory.join(name),
        _ => base.to_owned(),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The next bed on this range clears the folder if this fails.
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// Picks a port that no recent bed had, because clients cache what they discovered at an address
/// and port.
fn unlikely_port() -> u16 {
    let nanos = jiff::Zoned::now()
        .timestamp()
        .subsec_nanosecond()
        .unsigned_abs()
        / 1000;
    10_000 + u16::try_from((nanos ^ std::process::id()) % 20_000).expect("it is below 20000")
}
