//! Ten thousand worlds: the core against a model of a cluster in which anything may happen at any
//! moment. A seed that fails is named, and fails again.

mod bed;
mod dice;
mod model;
mod watcher;

use std::collections::BTreeSet;

use bed::{Bed, Chaos};

/// Seeds that one test walks through.
const SEEDS: u64 = 10_000;

#[test]
fn the_limits_hold_and_every_run_ends_and_running_again_brings_all_up_to_date() {
    let mut census = BTreeSet::new();
    for seed in 0..SEEDS {
        let mut bed = Bed::new(seed);
        bed.live();
        census.append(&mut bed.census);
    }
    // A walk on which these never happened would prove little.
    for happening in [
        "Proven",
        "Failed",
        "Blocked",
        "Interrupted",
        "Superseded",
        "Yes",
        "No",
        "Failed",
        "Stopped",
        "Signal(15)",
    ] {
        assert!(census.contains(happening), "no {happening} in {census:?}");
    }
}

#[test]
fn a_quiet_world_is_proven_in_one_run_with_one_write_a_workload() {
    for seed in 0..200 {
        let mut bed = Bed::new(seed);
        bed.chaos = Chaos::None;
        let exit = bed.run();
        assert_eq!(exit, Some(mesh_cli::Exit::Yes), "seed {seed}");
        bed.check_all_current();
        bed.check_one_write_each();
    }
}
