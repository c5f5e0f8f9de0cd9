//! Every request that a tool makes, struck by every fault that a wire or a server knows.
//!
//! The requests are those of a clean run, so nobody picks them; what a run may then say is held
//! against the cluster. On the real servers each request and each fault has its turn, on the lab
//! each pair of them; without MESH_TEST_FAULTS=all every third of a roll's pairs, and of an
//! upgrade's requests those that stand for their kind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

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
