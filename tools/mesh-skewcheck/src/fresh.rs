//! Refuses a survey that is too old at `--now`.

use std::time::Duration;

use jiff::Timestamp;
use mesh_records::{Explained, Stream};

/// The greatest age of a survey (`--max-age`), and the time of `--now`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freshness {
    pub(crate) max_age: Duration,
    pub(crate) now: Timestamp,
}

impl Freshness {
    /// Refuses a survey without a time, or taken more than `max_age` before or after `now`.
    pub(crate) fn check(&self, stream: &Stream) -> Result<(), Explained> {
        let label = stream.cluster.as_deref().unwrap_or("?");
        let hint = "run mesh-survey again";
        let Some(time) = stream.time else {
            let what = format!("the survey of cluster `{label}` has no time");
            return Err(Explained::new(what, hint));
        };
        if self.now.duration_since(time).unsigned_abs() <= self.max_age {
            return Ok(());
        }
        let what = format!(
            "the survey of cluster `{label}` was taken at {time}, more than --max-age ({:?}) before or after --now ({})",
            self.max_age, self.now
        );
        Err(Explained::new(what, hint))
    }
}
