//! Writes the two charts with a Linkerd version.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::{assets, bed::Bed, pki::MeshIdentity, release::Release};

const CRDS: &str = "linkerd-crds";
const CONTROL_PLANE: &str = "linkerd-control-plane";

/// The charts of one Linkerd version, with the values that they need.
#[derive(Clone, Debug)]
pub struct Charts {
    pub crds: PathBuf,
    pub control_plane: PathBuf,
    /// A values file with the trust anchors and the issuer.
    pub values: PathBuf,
    /// The chart's values file for high availability.
    pub ha_values: PathBuf,
}

impl Charts {
    /// Writes the charts of `version` into `dir`, with `identity` in their values file. Without an
    /// identity an existing values file stays; if there is none, a new identity is made.
    ///
    /// The charts are those of `LINKERD_CHARTS_DIR` where that is set, else the stand-ins.
    pub fn write(
        dir: &Path,
        version: &str,
        identity: Option<&MeshIdentity>,
    ) -> anyhow::Result<Self> {
        let charts = Self {
            crds: dir.join(CRDS),
            control_plane: dir.join(CONTROL_PLANE),
            values: dir.join("values.yaml"),
            ha_values: dir.join(CONTROL_PLANE).join("values-ha.yaml"),
        };
        let real = std::env::var_os("LINKERD_CHARTS_DIR");
        let source = match &real {
            Some(folder) => real_charts(Path::new(folder), version)?,
            None => assets::root().join("tests/testbed/charts"),
        };
        for name in [CRDS, CONTROL_PLANE] {
            copy(&source.join(name), &dir.join(name))?;
        }
        if real.is_none() {
            let release = Release::parse(version);
            let release = release.with_context(|| format!("{version} is no Linkerd version"))?;
            charts.stamp(&release)?;
        }
        match identity {
            Some(identity) => fs::write(&charts.values, values(identity))?,
            None if charts.values.exists() => {}
            None => fs::write(&charts.values, values(&MeshIdentity::new()?))?,
        }
        Ok(charts)
    }

    fn stamp(&self, release: &Release) -> anyhow::Result<()> {
        let (control_plane, crds) = release.charts();
        let (range, minor) = (
            format!("\"{}\"", release.kubernetes_range()),
            format!("\"{}\"", release.minor),
        );
        let version = release.version.as_str();
        let chart = self.crds.join("Chart.yaml");
        set(
            &chart,
            &[
                ("version", &crds),
                ("kubeVersion", &range),
                ("sim.test/minor", &minor),
                ("sim.test/version", version),
            ],
        )?;
        let restarts = format!("\"{}\"", release.restarts_on_new_certificates());
        let chart = self.control_plane.join("Chart.yaml");
        let lines: [(&str, &str); 5] = [
            ("version", &control_plane),
            ("appVersion", version),
            ("kubeVersion", &range),
            ("sim.test/minor", &minor),
            ("sim.test/restarts-on-new-certificates", &restarts),
        ];
        set(&chart, &lines)?;
        let native = if release.minor >= 20 { "true" } else { "false" };
        set(
            &self.control_plane.join("values.yaml"),
            &[("linkerdVersion", version), ("nativeSidecar", native)],
        )
    }
}

impl Bed {
    /// The charts of a Linkerd version, with values that carry this bed's mesh identity.
    pub fn charts(&self, version: &str) -> anyhow::Result<Charts> {
        let dir = self.dir().join("charts").join(version);
        Charts::write(&dir, version, Some(&self.identity))
    }
}

/// Where both charts of `version` are: in `folder/VERSION`, or in `folder` itself where its
/// control-plane chart names that version.
fn real_charts(folder: &Path, version: &str) -> anyhow::Result<PathBuf> {
    let has_both = |place: &Path| {
        let mut charts = [CRDS, CONTROL_PLANE].into_iter();
        charts.all(|chart| place.join(chart).join("Chart.yaml").exists())
    };
    let own = folder.join(version);
    if has_both(&own) {
        return Ok(own);
    }
    let chart = fs::read_to_string(folder.join(CONTROL_PLANE).join("Chart.yaml"));
    let is_named = |text: &str| text.lines().any(|line| app_version(line) == Some(version));
    ensure!(
        has_both(folder) && chart.is_ok_and(|text| is_named(&text)),
        "LINKERD_CHARTS_DIR: no {CRDS} and {CONTROL_PLANE} of {version} in {} or in {}",
        own.display(),
        folder.display()
    );
    Ok(folder.to_path_buf())
}

fn app_version(line: &str) -> Option<&str> {
    let version = line.strip_prefix("appVersion:")?;
    Some(version.trim().trim_matches(['"', '\'']))
}

/// What an installation on the bed is given, as JSON, which is YAML. `linkerd check` wants the
/// addresses of the Services, which are loopback here, to be among the cluster's networks.
fn values(identity: &MeshIdentity) -> String {
    let tls = json!({ "crtPEM": identity.issuer.certificate, "keyPEM": identity.issuer.key });
    json!({
        "identityTrustAnchorsPEM": identity.anchors,
        "identity": { "issuer": { "tls": tls } },
        "clusterNetworks": "10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,172.16.0.0/12,192.168.0.0/16",
    })
    .to_string()
}

/// Sets keys that have one line each. Each key must be in the file exactly once.
fn set(path: &Path, lines: &[(&str, &str)]) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    fs::write(path, stamped(&text, lines)?).with_context(|| format!("writing {}", path.display()))
}

fn stamped(text: &str, keys: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (key, value) in keys {
        let prefix = format!("{key}:");
        let mut found = 0;
        for line in lines
            .iter_mut()
            .filter(|line| line.trim_start().starts_with(&prefix))
        {
            let indent = line.len() - line.trim_start().len();
            *line = format!("{}{key}: {value}", &line[..indent]);
            found += 1;
        }
        ensure!(found == 1, "the chart has {found} lines of {key}");
    }
    Ok(lines.join("\n") + "\n")
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("writing {}", target.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_changes_its_line_and_no_other() {
        let text = "version: 1\nannotations:\n  sim.test/version: a\n";
        assert_eq!(
            stamped(text, &[("version", "2")]).unwrap(),
            "version: 2\nannotations:\n  sim.test/version: a\n"
        );
        assert_eq!(
            stamped(text, &[("sim.test/version", "b")]).unwrap(),
            "version: 1\nannotations:\n  sim.test/version: b\n"
        );
        assert!(stamped(text, &[("appVersion", "b")]).is_err());
    }

    #[test]
    fn every_known_line_has_charts() {
        let dir = tempfile::tempdir().unwrap();
        let identity = MeshIdentity::new().unwrap();
        for version in [
            "stable-2.12.6",
            "stable-2.13.7",
            "stable-2.14.10",
            "edge-24.8.2",
            "edge-26.6.3",
        ] {
            let charts =
                Charts::write(&dir.path().join(version), version, Some(&identity)).unwrap();
            let chart = fs::read_to_string(charts.control_plane.join("Chart.yaml")).unwrap();
            assert!(
                chart.contains(&format!("appVersion: {version}\n")),
                "{chart}"
            );
        }
    }
}
