//! A control plane's lock, held by one run at a time: a `Lease` in its namespace.
//!
//! [`lease`] decides who holds it, [`take`] takes it or waits for it, [`keep`] renews it.

pub mod keep;
pub mod lease;
pub mod take;

#[cfg(test)]
mod tests;

pub use keep::{Grip, Lock, Lost};
pub use lease::{Claim, Holder};
pub use take::{IfLocked, Taking};
