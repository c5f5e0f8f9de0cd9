//! Upgrades the Linkerd control plane with the tool that installed it, and watches it until every
//! component runs the target.
//!
//! `drive` is the order of the steps. `inputs` copies what the user named into a `snapshot`, which
//! alone is read from then on. `gate` reads the verdict, `scene` looks at the control plane under
//! the lock, and again before each write against what was `shown`, `prepare`, `of_target`,
//! `preflight` and `rehearsal` compare before the first write and refuse what `--allow-change` does not name
//! (`dry_write` sends one object, the patch of `helm_patch` where helm sends one, `stored_versions` and
//! `webhooks` find what no dry run shows,
//! `foreseen` names what was set by hand where nothing is rendered yet); `findings` collects all of it, except what was `unseen`.
//! `agree` asks, `backup` saves the state before, of which `labelled` finds the objects, `act` and `apply`
//! write, `claims` checks what helm claims, `monitor` and `readiness` watch, `leftovers` lists what stays
//! behind, `way_back` says how to go back and `rollback` does it. `watch_only` does the watching alone.
//! `live` reads the control plane and what installed it; `installer` is that program, helm or the
//! linkerd CLI, and `rights` asks for what is needed before the CLI can render; `plan` is what will
//! be done; `present` compares what is rendered with the cluster; `definition`, `render`, `expected`, `anew`, `identity`,
//! `contained`, `by_hand`, `grafted`, `new_kinds`, `redacted`, `diff` and `board` decide and wait for nothing. `child` alone starts processes.
//! What this tool shares with every tool that acts is `mesh-actor`.

mod act;
mod agree;
mod anew;
mod apply;
mod args;
mod backup;
mod board;
mod by_hand;
mod capacity;
mod certificates;
mod child;
mod claims;
mod component_pods;
mod contained;
mod definition;
mod diff;
mod drive;
mod dry_write;
mod expected;
mod field_managers;
mod findings;
mod foreseen;
mod gate;
mod grafted;
mod helm_patch;
mod identity;
mod inputs;
mod installer;
mod issuer_key;
mod labelled;
mod leftovers;
mod live;
mod mesh;
mod monitor;
mod new_kinds;
mod of_target;
mod overrides;
mod plan;
mod preflight;
mod prepare;
mod present;
mod prove;
mod quantity;
mod readiness;
mod redacted;
mod rehearsal;
mod relist;
mod render;
mod rights;
mod rollback;
mod room;
mod sayable;
mod scene;
mod session;
mod shown;
mod snapshot;
mod stored_versions;
mod trust;
mod unseen;
mod values;
mod watch_only;
mod way_back;
mod webhooks;

use std::process::ExitCode;

use clap::{Command, CommandFactory as _, Parser as _};

use crate::args::Args;

/// Returns the command line, of which the manual page and the completions are made.
#[must_use]
pub fn command() -> Command {
    Args::command()
}

/// Runs the tool on the process's own arguments.
pub fn main() -> ExitCode {
    drive::run(&Args::parse().spelled_out())
}
