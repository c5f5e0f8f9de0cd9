//! A control plane's lock, held by one run at a time: a `Lease` in its namespace.
//!
//! A lock lasts 15 s without a renewal. Its holder renews it every 5 s, and trusts it for only 12 s
//! after a renewal was sent.
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
