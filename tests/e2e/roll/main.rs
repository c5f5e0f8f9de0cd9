//! Tests `mesh-roll` on real servers and on the lab.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alone;
mod answers;
mod budgets;
mod deadline;
mod edges;
mod evictions;
mod exits;
mod fleet;
mod gates;
mod gitops;
mod held_up;
mod injector;
mod kills;
mod nodes;
mod onlooker;
mod orphans;
mod others;
mod pace;
mod pasted;
mod plans;
mod previews;
mod probed;
mod quiet;
mod refusals;
mod rights;
mod rollouts;
mod scene;
mod settle;
mod stops;
mod turns;
