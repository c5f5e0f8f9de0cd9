//! Every request that a tool makes, struck by every fault that a wire or a server knows.
//!
//! The requests are those of a clean run, so nobody picks them; what a run may then say is held
//! against the cluster. On the real servers each request and each fault has its turn, on the lab
//! each pair of them. That is with MESH_TEST_FAULTS=all; without it only every third of a roll's
//! pairs is taken, and an upgrade's requests are stood for by one of each kind, and not at every
//! fault. MESH_TEST_FAULTS=TEXT takes those of all whose name contains TEXT.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "the tallies are what came of it")]
#![expect(clippy::needless_pass_by_value, reason = "a test's bed is its own")]

mod case;
mod control_plane;
mod cp_upgrade;
mod fleet;
mod hang;
mod harm;
mod lag;
mod record;
mod roll;
mod run;
mod survey;
mod tally;
