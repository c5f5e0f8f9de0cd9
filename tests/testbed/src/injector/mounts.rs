//! A pod's mounted files, as a kubelet keeps them: each volume is changed at once, by a symlink.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// The files of the injector's volumes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Volumes {
    pub(super) config: Files,
    pub(super) trust_roots: Files,
    pub(super) tls: Files,
}

/// Where the volumes of one pod are.
#[derive(Debug)]
pub(super) struct Mounts {
    root: PathBuf,
}

impl Volumes {
    /// Whether everything is there that a pod needs to start.
    pub(super) fn is_whole(&self) -> bool {
        [&self.config, &self.trust_roots, &self.tls]
            .iter()
            .all(|files| !files.is_empty())
    }

    fn named(&self) -> [(&'static str, &Files); 3] {
        [
            ("config", &self.config),
            ("identity/trust-roots", &self.trust_roots),
            ("tls", &self.tls),
        ]
    }
}

impl Mounts {
    pub(super) fn new(root: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&root).with_context(|| format!("creating {}", root.display()))?;
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Has these files and no other.
    pub(super) fn write(&self, volumes: &Volumes) -> anyhow::Result<()> {
        for (name, files) in volumes.named() {
            let volume = self.root.join(name);
            swap(&volume, files).with_context(|| format!("writing {}", volume.display()))?;
        }
        Ok(())
    }
}

fn swap(volume: &Path, files: &Files) -> anyhow::Result<()> {
    fs::create_dir_all(volume)?;
    let data = volume.join("..data");
    let before = fs::read_link(&data).ok();
    let is_same = |(name, content): (&String, &Vec<u8>)| {
        fs::read(volume.join(name)).is_ok_and(|there| there == *content)
    };
    if before.is_some() && files.iter().all(is_same) {
        return Ok(());
    }
    let number = before.as_deref().and_then(number).map_or(0, |it| it + 1);
    let fresh = format!("..{number}");
    fs::create_dir(volume.join(&fresh))?;
    for (name, content) in files {
        fs::write(volume.join(&fresh).join(name), content)?;
        let visible = volume.join(name);
        if visible.symlink_metadata().is_err() {
            symlink(Path::new("..data").join(name), visible)?;
        }
    }
    let next = volume.join("..data_tmp");
    symlink(&fresh, &next)?;
    fs::rename(&next, &data)?;
    if let Some(before) = before {
        fs::remove_dir_all(volume.join(before))?;
    }
    Ok(())
}

fn number(folder: &Path) -> Option<u64> {
    folder.to_str()?.strip_prefix("..")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_swapped_whole_through_its_symlink() {
        let dir = tempfile::tempdir().unwrap();
        let mounts = Mounts::new(dir.path().join("pod")).unwrap();
        for text in ["one", "two"] {
            let files = Files::from([("values".to_owned(), text.as_bytes().to_vec())]);
            let volumes = Volumes {
                config: files,
                ..Volumes::default()
            };
            mounts.write(&volumes).unwrap();
            let config = mounts.root().join("config");
            assert_eq!(fs::read_to_string(config.join("values")).unwrap(), text);
            let link = fs::read_link(config.join("values")).unwrap();
            assert_eq!(link, Path::new("..data/values"));
            assert_eq!(fs::read_dir(config).unwrap().count(), 3);
        }
    }
}
