//! Writes what a release has beside the four tools.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use mesh_package::completions::SHELLS;
use mesh_package::records::TOOLS;
use mesh_package::{command, fields, krew, man, sbom};
use mesh_records::schema::schema;

/// Write what a release has beside the four tools
#[derive(Debug, Parser)]
#[command(name = "mesh-package")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write the schema of the records and the page of fields
    Docs {
        /// The folder to write to
        folder: PathBuf,
    },
    /// Write the manual pages and the completions
    Share {
        /// The folder to write to
        folder: PathBuf,
    },
    /// Print a CycloneDX bill of the crates that `cargo tree` lists on standard input
    Sbom {
        /// The target that they are built for
        target: String,
        /// The Cargo.lock
        lock: PathBuf,
    },
    /// Write krew's manifests for the archives that `sha256sum` lists on standard input
    Krew {
        /// The address below which the archives can be had
        url: String,
        /// The folder to write to
        folder: PathBuf,
    },
}

fn main() -> Result<()> {
    match Args::parse().what {
        What::Docs { folder } => docs(&folder),
        What::Share { folder } => share(&folder),
        What::Sbom { target, lock } => {
            let tree = io::read_to_string(io::stdin()).context("reading standard input")?;
            let bill = sbom::bill(&tree, &read(&lock)?, &target)?;
            writeln!(io::stdout(), "{bill:#}").context("writing the bill")
        }
        What::Krew { url, folder } => manifests(&url, &folder),
    }
}

fn docs(folder: &Path) -> Result<()> {
    let schema = schema().to_value();
    write(
        &folder.join("records.schema.json"),
        &format!("{schema:#}\n"),
    )?;
    write(&folder.join("records.md"), &fields::page(&schema)?)
}

fn share(folder: &Path) -> Result<()> {
    for tool in TOOLS {
        let mut page = Vec::new();
        man::page(tool, command(tool), &mut page)?;
        let page = String::from_utf8(page).context("a manual page is text")?;
        write(&folder.join(format!("man/man1/{tool}.1")), &page)?;
        for shell in SHELLS {
            let (before, after) = shell.file;
            let path = folder
                .join(shell.folder)
                .join(format!("{before}{tool}{after}"));
            write(&path, &shell.script(command(tool))?)?;
        }
    }
    Ok(())
}

fn manifests(url: &str, folder: &Path) -> Result<()> {
    let sums = io::read_to_string(io::stdin()).context("reading standard input")?;
    let archives = krew::archives(&sums)?;
    for tool in TOOLS {
        let about = command(tool).get_about().map(ToString::to_string);
        let manifest = krew::manifest(tool, &about.unwrap_or_default(), url, &archives)?;
        write(
            &folder.join(format!("{tool}.yaml")),
            &format!("{manifest:#}\n"),
        )?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
