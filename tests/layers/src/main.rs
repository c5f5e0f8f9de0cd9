//! Checks which files of the workspace use each other, and how long files and functions are. Prints
//! each problem and fails if there is one.
//!
//! - **Circles**: in one crate, no file may use a file that uses it, directly or through others.
//!   A file uses another when a path in its code leads to an item of the other file. `mod x;` alone
//!   is no use, and neither is a re-export: `pub use keep::Grip` in `lock.rs` means that whoever
//!   names `lock::Grip` uses `keep.rs`, and that `lock.rs` does not.
//! - **Methods**: `self.run()`, `Self::run()` and `Roll::run()` use the file of the `impl` block that
//!   has `run`. A method call on any other value is not seen, because its type is not known here;
//!   nor is a call through a trait.
//! - **Size**: a function has at most 60 lines from `fn` to its last brace, a file at most 300 lines
//!   of code (no comments, no blank lines).
//! - **Commands**: no text has a command such as `kubectl get` written out, because it would lack the
//!   flags of the run's own cluster.
//!
//! Code under `#[cfg(test)]` is not counted. `Cargo.toml` keeps circles between crates out.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "syn's enums are open, and most kinds of items do not matter here"
)]

mod circle;
mod commands;
mod path;
mod size;
mod source;
mod uses;

use std::{
    env::args_os,
    io::{Write as _, stdout},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::source::Crate;

fn main() -> Result<ExitCode> {
    let roots = roots()?;
    ensure!(!roots.is_empty(), "no crate to check");
    let problems = problems(&roots)?;
    for problem in &problems {
        writeln!(stdout(), "{problem}")?;
    }
    Ok(ExitCode::from(u8::from(!problems.is_empty())))
}

/// The root files of all crates: those given as arguments, or else those of the workspace here.
fn roots() -> Result<Vec<PathBuf>> {
    let given: Vec<PathBuf> = args_os().skip(1).map(PathBuf::from).collect();
    if !given.is_empty() {
        return Ok(given);
    }
    let output = Command::new("cargo")
        .args([
            "metadata",
            "--format-version=1",
            "--no-deps",
            "--locked",
            "--offline",
        ])
        .output()?;
    ensure!(output.status.success(), "cargo metadata failed");
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let folder = metadata["workspace_root"].as_str().context("no root")?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    packages
        .iter()
        .flat_map(|package| package["targets"].as_array().into_iter().flatten())
        .map(|target| {
            let root = Path::new(target["src_path"].as_str().context("no source")?);
            Ok(root.strip_prefix(folder)?.to_owned())
        })
        .collect()
}

/// All problems of the crates, sorted, each as the text to print.
fn problems(roots: &[PathBuf]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for root in roots {
        let read = Crate::read(root)?;
        problems.extend(circle::circles(&uses::uses(&read)));
        problems.extend(read.files.iter().flat_map(size::too_long));
        problems.extend(read.files.iter().flat_map(commands::written_out));
    }
    problems.sort();
    problems.dedup();
    Ok(problems)
}
