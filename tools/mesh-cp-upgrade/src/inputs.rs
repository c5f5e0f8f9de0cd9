//! Reads the files that the user named, once, when the run begins, and writes a kubeconfig of its own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_cluster::Cluster;
use mesh_records::{Explained, sayable};
use tokio::sync::OnceCell;

use crate::args::Args;
use crate::installer::helm::{Chart, Helm};
use crate::overrides::{Overrides, set_file};
use crate::snapshot::{self, Copied, Snapshot};
use crate::values;

/// The run's own copies of the files that it was given.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) snapshot: Snapshot,
    /// A kubeconfig of the connected cluster and user, for the programs that the run starts.
    pub(crate) kubeconfig: PathBuf,
    pub(crate) overrides: Overrides,
    pub(crate) chart: Option<Named>,
    pub(crate) crds_chart: Option<Named>,
    /// The charts, after helm has fetched them.
    pub(crate) charts: OnceCell<Charts>,
}

/// What the user named as a chart.
#[derive(Clone, Debug)]
pub(crate) enum Named {
    /// An archive of the run's own.
    Archive(PathBuf),
    /// A reference, which helm resolves.
    Elsewhere,
    /// A file or a folder that is no chart. Only helm needs one, so this counts when helm runs.
    Unusable { what: String, hint: String },
}

/// The charts of an upgrade, fetched once.
#[derive(Clone, Debug)]
pub(crate) struct Charts {
    pub(crate) control_plane: Chart,
    pub(crate) crds: Chart,
}

const LONGEST_VALUES: u64 = 16 << 20;
/// Helm reads no longer one either.
const LONGEST_CHART: u64 = 100 << 20;
/// How long a pipe may take, as a multiple of `--request-timeout`: what writes into it may ask a
/// server for a secret.
const REQUESTS: u32 = 10;

const CHARTS: &str = "name a folder, an archive, REPOSITORY/CHART, or an address such as oci://…";

// === impl Inputs ===

impl Inputs {
    /// Copies nothing, for a run that takes no files.
    pub(crate) fn none(cluster: &Cluster) -> Result<Self, Explained> {
        let snapshot = Snapshot::new()?;
        let kubeconfig = snapshot.keep("kubeconfig", &cluster.kubeconfig())?;
        Ok(Self {
            snapshot,
            kubeconfig,
            overrides: Overrides::default(),
            chart: None,
            crds_chart: None,
            charts: OnceCell::new(),
        })
    }

    /// Copies the values files and the charts on this machine.
    pub(crate) async fn read(args: &Args, cluster: &Cluster) -> Result<Self, Explained> {
        let snapshot = Snapshot::new()?;
        let kubeconfig = snapshot.keep("kubeconfig", &cluster.kubeconfig())?;
        let helm = Helm::new(args, cluster, &kubeconfig);
        let patience = args.actor.cluster.request_timeout.saturating_mul(REQUESTS);
        let overrides = overrides(args, &snapshot, patience).await?;
        let chart = args.chart.as_deref();
        let crds = args.crds_chart.as_deref();
        let (chart, crds_chart) = futures::future::try_join(
            named(chart, "chart", &snapshot, &helm, patience),
            named(crds, "crds-chart", &snapshot, &helm, patience),
        )
        .await?;
        Ok(Self {
            chart,
            crds_chart,
            charts: OnceCell::new(),
            snapshot,
            kubeconfig,
            overrides,
        })
    }
}

async fn overrides(
    args: &Args,
    snapshot: &Snapshot,
    patience: Duration,
) -> Result<Overrides, Explained> {
    let mut overrides = Overrides {
        sets: args.set.clone(),
        ..Overrides::default()
    };
    for (number, path) in (1..).zip(&args.values) {
        let hint = "pass the values file of this cluster's control plane: -f FILE";
        let copy = format!("values-{number}.yaml");
        let copied = copied(path, "values file", hint, snapshot, &copy, patience);
        let copied = copied.await?;
        values::read(&copied)?;
        overrides.files.push(copied);
    }
    for (number, text) in (1..).zip(&args.set_file) {
        let (key, path) = set_file(text)?;
        let hint = "pass the file with the value: --set-file KEY=FILE";
        let what = format!("file of {}", sayable(key));
        let copy = format!("set-file-{number}");
        let copied = copied(Path::new(path), &what, hint, snapshot, &copy, patience);
        overrides.set_files.push((key.to_owned(), copied.await?));
    }
    Ok(overrides)
}

async fn copied(
    path: &Path,
    what: &str,
    hint: &str,
    snapshot: &Snapshot,
    copy: &str,
    patience: Duration,
) -> Result<Copied, Explained> {
    let name = sayable(&path.display().to_string());
    let bytes = whole(path, LONGEST_VALUES, patience).await;
    let bytes = bytes
        .map_err(|why| Explained::new(format!("cannot read the {what} `{name}`: {why}"), hint))?;
    let path = snapshot.keep(copy, &bytes)?;
    Ok(Copied { name, path })
}

// Helm takes a name for a path if there is such a path.
async fn named(
    chart: Option<&str>,
    room: &str,
    snapshot: &Snapshot,
    helm: &Helm,
    patience: Duration,
) -> Result<Option<Named>, Explained> {
    let Some(name) = chart else {
        return Ok(None);
    };
    let path = Path::new(name);
    let unusable = |why: &str| Named::Unusable {
        what: format!("cannot read the chart `{name}`: {why}"),
        hint: CHARTS.to_owned(),
    };
    if path.is_dir() {
        let packed = helm.package(path, &snapshot.room(room)?).await;
        return Ok(Some(match packed {
            Ok(archive) => Named::Archive(archive),
            Err(error) => unusable(&format!("{error:#}")),
        }));
    }
    if path.exists() {
        return Ok(Some(match whole(path, LONGEST_CHART, patience).await {
            Ok(bytes) => Named::Archive(snapshot.keep(&format!("{room}.tgz"), &bytes)?),
            Err(why) => unusable(&why),
        }));
    }
    Ok(Some(match may_be_elsewhere(name) {
        true => Named::Elsewhere,
        false => unusable("there is no such file or folder"),
    }))
}

fn may_be_elsewhere(name: &str) -> bool {
    name.contains('/') && !name.starts_with(['.', '/'])
}

// Reading a pipe can take as long as its writer lives, so it happens on a thread of its own.
async fn whole(path: &Path, longest: u64, patience: Duration) -> Result<Vec<u8>, String> {
    let path = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || snapshot::read(&path, longest));
    match tokio::time::timeout(patience, reading).await {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!(
            "it has not ended within {patience:?}, ten times the --request-timeout"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pipe_is_read_to_its_end_and_one_without_an_end_is_not_waited_for_forever() {
        use std::io::Write as _;
        let (reader, mut writer) = std::io::pipe().unwrap();
        let path = {
            use std::os::fd::AsRawFd as _;
            PathBuf::from(format!("/proc/self/fd/{}", reader.as_raw_fd()))
        };
        writer.write_all(b"a: 1\n").unwrap();
        let endless = whole(&path, 99, Duration::from_millis(20)).await;
        assert!(endless.unwrap_err().contains("has not ended"));
        writer.write_all(b"b: 2\n").unwrap();
        drop(writer);
        let rest = whole(&path, 99, Duration::from_secs(9)).await.unwrap();
        assert!(rest.len() <= 10, "{rest:?}");
    }

    #[test]
    fn a_name_that_is_no_path_is_a_reference_only_if_it_looks_like_one() {
        for name in ["linkerd/linkerd-crds", "oci://r/c", "https://r/c.tgz"] {
            assert!(may_be_elsewhere(name), "{name}");
        }
        for name in ["./chart", "../chart", "/no/such/chart", "chart", ""] {
            assert!(!may_be_elsewhere(name), "{name}");
        }
    }
}
