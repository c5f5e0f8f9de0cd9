//! The run's private copies of its inputs.
//!
//! Whoever can write the user's files could change them between the comparison and the write. So
//! each is read once, a pipe too, and every later step and every child process reads the copy.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mesh_records::{Explain as _, Explained};
use tempfile::TempDir;

/// A folder that only this user can read. It is removed when the run ends. A helm that outlives the
/// run has then read each input as a whole, or finds it missing and fails before its first write:
/// an input is always a single file, never a folder.
#[derive(Debug)]
pub(crate) struct Snapshot {
    folder: TempDir,
}

/// A copy, and the name under which the user gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// The names of standard input.
const STDIN: [&str; 5] = [
    "-",
    "/dev/stdin",
    "/dev/fd/0",
    "/proc/self/fd/0",
    "/proc/thread-self/fd/0",
];

// === impl Snapshot ===

impl Snapshot {
    /// Makes the folder.
    pub(crate) fn new() -> Result<Self, Explained> {
        let mut builder = tempfile::Builder::new();
        let only_ours = builder
            .prefix("mesh-cp-upgrade-")
            .permissions(Permissions::from_mode(0o700));
        let folder = only_ours.tempdir().explain(
            format!("cannot make a folder in {}", std::env::temp_dir().display()),
            WAY_OUT,
        )?;
        Ok(Self { folder })
    }

    /// Writes a file that only this user can read.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Explained> {
        let path = self.folder.path().join(name);
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(bytes))
            .explain(cannot_copy(name), WAY_OUT)?;
        Ok(path)
    }

    /// Makes a folder in the folder.
    pub(crate) fn room(&self, name: &str) -> Result<PathBuf, Explained> {
        let path = self.folder.path().join(name);
        fs::create_dir(&path).explain(cannot_copy(name), WAY_OUT)?;
        Ok(path)
    }
}

const WAY_OUT: &str = "free space there, or name another folder with TMPDIR";

fn cannot_copy(name: &str) -> String {
    let folder = std::env::temp_dir();
    format!("cannot write a copy of {name} in {}", folder.display())
}

/// Reads an input of at most `longest` bytes to its end. Blocks while a pipe is open.
pub(crate) fn read(path: &Path, longest: u64) -> Result<Vec<u8>, String> {
    if path.to_str().is_some_and(|path| STDIN.contains(&path)) {
        return Err("that is standard input, which carries the verdict".to_owned());
    }
    let reading = || {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(longest + 1)
            .read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = reading().map_err(|error| error.to_string())?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= longest => Ok(bytes),
        Ok(_) | Err(_) => Err(format!("it is longer than {} MiB", longest >> 20)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn copies_are_private_and_go_with_the_snapshot() {
        let snapshot = Snapshot::new().unwrap();
        let path = snapshot.keep("values-1.yaml", b"keyPEM: SECRET").unwrap();
        let folder = path.parent().unwrap().to_owned();
        assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
        assert!(snapshot.keep("values-1.yaml", b"other").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"keyPEM: SECRET");
        drop(snapshot);
        assert!(!folder.exists());
    }

    #[test]
    fn a_swapped_file_does_not_change_its_copy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("values.yaml");
        fs::write(&path, "a: 1").unwrap();
        let snapshot = Snapshot::new().unwrap();
        let copy = snapshot.keep("values-1.yaml", &read(&path, 10).unwrap());
        fs::write(&path, "a: 2").unwrap();
        assert_eq!(fs::read(copy.unwrap()).unwrap(), b"a: 1");
    }

    #[test]
    fn standard_input_a_folder_and_an_endless_input_are_refused() {
        let table = [
            ("-", "carries the verdict"),
            ("/dev/fd/0", "carries the verdict"),
            ("/no/such.yaml", "No such file"),
            ("/", "directory"),
            ("/dev/zero", "longer than 1 MiB"),
        ];
        for (path, part) in table {
            let error = read(Path::new(path), 1 << 20).unwrap_err();
            assert!(error.contains(part), "{path}: {error}");
        }
    }
}
