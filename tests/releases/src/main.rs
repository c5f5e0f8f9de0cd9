//! Compares the releases file with a folder of rendered charts, so that the entry of a new Linkerd
//! release can be reviewed. `scripts/releases --help` says how.

mod brought;
mod difference;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use mesh_versions::{Releases, Version};

use brought::Brought;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // Nobody is left to tell if standard error is gone.
            drop(writeln!(io::stderr(), "releases: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Returns true if the file has what the charts bring.
fn run(arguments: &[String]) -> Result<bool> {
    let (folder, releases) = match arguments {
        [folder] => (folder, Releases::embedded()),
        [folder, file] => {
            let what = || format!("cannot use the releases file {file}");
            let bytes = std::fs::read(file).with_context(what)?;
            (folder, Releases::parse(&bytes).with_context(what)?)
        }
        _ => bail!(
            "name a folder of rendered charts, and a releases file if it is not the built-in one"
        ),
    };
    let lines = compared(Path::new(folder), &releases)?;
    let mut out = io::stdout().lock();
    for line in &lines {
        writeln!(out, "{line}")?;
    }
    Ok(lines.is_empty())
}

/// What differs, a line each.
fn compared(folder: &Path, releases: &Releases) -> Result<Vec<String>> {
    let what = || format!("cannot read the folder {}", folder.display());
    let mut lines = Vec::new();
    let mut found = 0;
    let mut entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .with_context(what)?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let version = Version::of_tag(&name);
        if version.is_opaque() || !entry.path().is_dir() {
            continue;
        }
        found += 1;
        let brought = Brought::of(&entry.path())?;
        let differences = difference::between(&version, &brought, releases);
        lines.extend(differences.into_iter().map(|it| format!("{name}: {it}")));
    }
    if found == 0 {
        bail!(
            "{} has no folder that is named as a Linkerd release, such as edge-25.4.4",
            folder.display()
        );
    }
    Ok(lines)
}

#[cfg(test)]
mod tests;
