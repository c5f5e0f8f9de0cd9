//! Tests `mesh-roll` on real servers and on the lab.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod budgets;
mod deadline;
mod exits;
mod fleet;
mod held_up;
mod injector;
mod kills;
mod onlooker;
mod pasted;
mod probed;
mod quiet;
mod rights;
mod scene;
mod settle;
mod stops;
