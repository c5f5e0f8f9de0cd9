//! A log file of the bed's own tasks, beside the servers' logs.

use std::{
    fmt::Display,
    fs::File,
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex},
};

use anyhow::Context as _;

use crate::lock::lock;

/// A log that all tasks of a bed can write to.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    file: Arc<Mutex<File>>,
}

impl Journal {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
        })
    }

    pub(crate) fn note(&self, who: &str, what: impl Display) {
        let mut file = lock(&self.file);
        // A test must not fail because the log cannot be written.
        drop(writeln!(
            file,
            "{} {who}: {what}",
            jiff::Zoned::now().timestamp()
        ));
    }
}
