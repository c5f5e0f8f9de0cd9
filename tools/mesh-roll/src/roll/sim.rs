//! Runs the core against a model of a cluster in ten thousand random worlds, in which anything may
//! happen at any moment. A failure names its seed, which reproduces it.

mod bed;
mod model;
mod watcher;

use std::collections::BTreeSet;

use bed::{Bed, Chaos};

/// The number of seeds in one test.
const SEEDS: u64 = 10_000;

#[test]
fn in_every_world_the_limits_hold_and_a_rerun_finishes() {
    let mut census = BTreeSet::new();
    for seed in 0..SEEDS {
        let mut bed = Bed::new(seed);
        bed.live();
        census.append(&mut bed.census);
    }
    // Checks that the worlds were varied enough: each of these must have happened.
    for happening in [
        "Proven",
        "Evicted",
        "Fallen",
        "Canary",
        "Gate",
        "Failed",
        "Blocked",
        "NodeNotReady",
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
fn without_faults_one_run_with_one_write_per_workload_is_enough() {
    for seed in 0..200 {
        let mut bed = Bed::new(seed);
        bed.chaos = Chaos::None;
        let exit = bed.run();
        assert_eq!(exit, Some(mesh_cli::Exit::Yes), "seed {seed}");
        bed.check_all_current();
        bed.check_one_write_each();
    }
}
