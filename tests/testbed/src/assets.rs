//! Finds the real programs, and says what to do if one is missing.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Command,
};

/// The real programs that a bed runs.
#[derive(Clone, Debug)]
pub struct Assets {
    pub etcd: PathBuf,
    pub kube_apiserver: PathBuf,
    pub kube_controller_manager: PathBuf,
    pub kube_scheduler: PathBuf,
    pub kubectl: PathBuf,
    /// Helm 3.
    pub helm: PathBuf,
    /// Helm 4.
    pub helm4: PathBuf,
}

/// What is missing on this machine, with the command that installs it.
#[derive(Debug)]
pub struct Missing(String);

/// Whether tests on real servers run: `MESH_TEST_REAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// A missing part is a failure.
    Require,
    /// Without the parts the tests are skipped, with a line that says so.
    Auto,
    /// The tests are skipped.
    Off,
}

// === impl Assets ===

impl Assets {
    /// Finds the programs with `scripts/testbed env`, which alone knows where parts come from.
    pub fn find() -> Result<Self, Missing> {
        let script = root().join("scripts/testbed");
        let output = Command::new(&script)
            .arg("env")
            .output()
            .map_err(|error| Missing(format!("{}: {error}", script.display())))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Missing(
                said.trim().trim_start_matches("testbed: ").to_owned(),
            ));
        }
        Self::from_exports(&String::from_utf8_lossy(&output.stdout))
    }

    fn from_exports(text: &str) -> Result<Self, Missing> {
        let named: HashMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .collect();
        let part = |name: &str| {
            let path = named
                .get(name)
                .ok_or_else(|| Missing(format!("{name} is not set")));
            path.map(|path| PathBuf::from(path.replace('\\', "")))
        };
        Ok(Self {
            etcd: part("TEST_ASSET_ETCD")?,
            kube_apiserver: part("TEST_ASSET_KUBE_APISERVER")?,
            kube_controller_manager: part("TEST_ASSET_KUBE_CONTROLLER_MANAGER")?,
            kube_scheduler: part("TEST_ASSET_KUBE_SCHEDULER")?,
            kubectl: part("KUBECTL")?,
            helm: part("HELM")?,
            helm4: part("HELM4")?,
        })
    }
}

/// Returns the repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("the crate lies two folders below the root")
        .to_path_buf()
}

/// The program that a variable names for a version: a file is it, a folder has one for each version,
/// called `VERSION` or `ANYTHING-VERSION`.
pub(crate) fn of_version(named: &Path, version: &str) -> Option<PathBuf> {
    if named.is_file() {
        return Some(named.to_path_buf());
    }
    let suffix = format!("-{version}");
    let entries = std::fs::read_dir(named).ok()?.filter_map(Result::ok);
    let mut programs = entries.map(|entry| entry.path());
    programs.find(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name == version || name.ends_with(&suffix))
    })
}

// === impl Missing ===

impl Missing {
    pub(crate) fn new(what: String) -> Self {
        Self(what)
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

// === impl Requirement ===

impl Requirement {
    /// Reads `MESH_TEST_REAL`. Panics on any other value than the three.
    pub fn from_env() -> Self {
        let value = std::env::var_os("MESH_TEST_REAL").unwrap_or_else(|| "auto".into());
        match value.to_str() {
            Some("require") => Self::Require,
            Some("auto") => Self::Auto,
            Some("off") => Self::Off,
            Some(_) | None => panic!(
                "MESH_TEST_REAL must be require, auto or off, not {}",
                value.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_name_every_part() {
        let text = "export TEST_ASSET_ETCD=/c/etcd\nexport TEST_ASSET_KUBE_APISERVER=/c/a\n\
            export TEST_ASSET_KUBE_CONTROLLER_MANAGER=/c/m\nexport TEST_ASSET_KUBE_SCHEDULER=/c/s\n\
            export KUBECTL=/my\\ tools/kubectl\nexport HELM=/c/helm\n";
        let missing = Assets::from_exports(text).unwrap_err();
        assert_eq!(missing.to_string(), "HELM4 is not set");
        let assets = Assets::from_exports(&format!("{text}export HELM4=/c/helm4\n")).unwrap();
        assert_eq!(assets.kubectl, Path::new("/my tools/kubectl"));
    }
}
