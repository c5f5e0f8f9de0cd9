//! A control plane's lock, held by one run at a time: a `Lease` in its namespace.
//!
//! [`lease`] decides who holds it, `wait` for how long it was seen unchanged, [`take`] takes it,
//! [`keep`] renews it.
//!
//! A holder renews the lock every 5 s and trusts it for 12 s after the last renewal was sent. Others
//! take it only after they have seen it unchanged for 15 s. Each counts on its own monotonic clock,
//! so no date can make two runs hold it at the same time.

pub mod keep;
pub mod lease;
pub mod take;
mod wait;

#[cfg(test)]
mod tests;

pub use keep::{Grip, Lock, Lost};
pub use lease::{Claim, Holder};
pub use take::{IfLocked, Taking};
