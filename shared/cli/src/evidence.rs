//! The file of `--record`, which keeps the records even if the reader of standard output goes away.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use mesh_records::{Explain as _, Explained, Record};

/// An open record file.
#[derive(Debug)]
pub(crate) struct Evidence {
    file: File,
    path: PathBuf,
}

// === impl Evidence ===

impl Evidence {
    /// Opens the file to append to it; makes it if there is none.
    ///
    /// # Errors
    /// There is something else than a file, or it cannot be opened.
    pub(crate) fn open(path: &Path) -> Result<Self, Explained> {
        let what = format!("cannot write the record file `{}`", path.display());
        let hint = "name a file in a directory that you can write to";
        // Opening a pipe waits for its reader, and a device keeps nothing.
        match std::fs::metadata(path) {
            Ok(found) if !found.is_file() => {
                return Err(Explained::new(format!("{what}: it is not a file"), hint));
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).explain(what, hint);
            }
            Ok(_) | Err(_) => {}
        }
        let is_torn = is_torn(path);
        let file = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path);
        let mut file = file.explain(what.as_str(), hint)?;
        if is_torn {
            file.write_all(b"\n").explain(what, hint)?;
        }
        let path = path.to_owned();
        Ok(Self { file, path })
    }

    /// Appends a record and waits until the disk has it.
    pub(crate) fn keep(&mut self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let written = self.file.write_all(&line);
        let kept = written.and_then(|()| self.file.sync_data());
        let what = || format!("cannot write the record file `{}`", self.path.display());
        kept.map_err(|error| named(&error, &what()))
    }
}

/// Says in an error what could not be done.
pub(crate) fn named(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

// A full disk leaves a torn line, to which the next record would be glued. A file that its owner can
// only append to is taken as whole.
fn is_torn(path: &Path) -> bool {
    let last = || -> io::Result<[u8; 1]> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last).map(|()| last)
    };
    // An empty file has no last byte.
    last().is_ok_and(|last| last != *b"\n")
}

#[cfg(test)]
mod tests {
    use mesh_records::{Stream, Tool};

    use super::*;

    fn keep_in(path: &Path) {
        let mut evidence = Evidence::open(path).unwrap();
        let stream = Stream::of(Tool::MeshRoll, "0");
        evidence.keep(&Record::Stream(Box::new(stream))).unwrap();
    }

    #[test]
    fn a_record_begins_a_line_after_a_torn_one_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records");
        for (before, lines) in [("", 1), ("{\"type\":\"st", 2), ("{}\n", 2)] {
            std::fs::write(&path, before).unwrap();
            keep_in(&path);
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), lines, "{text}");
            assert!(
                text.lines()
                    .last()
                    .unwrap()
                    .starts_with("{\"type\":\"stream\""),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_file_is_refused_without_a_wait() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [pipe.as_path(), folder.path(), Path::new("/dev/null")] {
            let error = Evidence::open(path).unwrap_err();
            assert!(error.to_string().contains("it is not a file"), "{error}");
        }
    }
}
