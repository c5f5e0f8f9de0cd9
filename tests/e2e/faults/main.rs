//! Fault injection: every request of a tool meets every fault of the network or the server.
//!
//! The requests are recorded from a run without faults. What a tool then reports is compared with
//! the cluster. On the real servers each request and each fault occurs at least once; on the lab
//! each pair. That is with `MESH_TEST_FAULTS=all`. Without it only every third pair of a roll runs,
//! and of an upgrade one request of each kind with some of the faults. `MESH_TEST_FAULTS=TEXT` runs
//! the cases whose name contains TEXT.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "the tallies are what came of it")]
#![expect(clippy::needless_pass_by_value, reason = "a test's bed is its own")]

mod case;
mod chaos;
mod control_plane;
mod cp_upgrade;
mod fleet;
mod hang;
mod harm;
mod lag;
mod plugin;
mod record;
mod roll;
mod run;
mod survey;
mod tally;
