//! Moments of the monotonic clock. Waiting times come from flags and from objects, so adding one must
//! not panic however long it is.

use std::time::Duration;

use tokio::time::Instant;

/// The greatest time that is added to a moment. No run lasts that long.
const DECADES: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Returns the moment that comes `duration` after `instant`, or some decades after it if `duration`
/// is longer.
pub fn after(instant: Instant, duration: Duration) -> Instant {
    let sum = instant.checked_add(duration.min(DECADES));
    sum.unwrap_or(instant)
}

/// Returns the moment that comes `duration` from now; see [`after`].
pub fn later(duration: Duration) -> Instant {
    after(Instant::now(), duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_duration_is_too_long_to_add() {
        let now = Instant::now();
        assert_eq!(after(now, Duration::ZERO), now);
        let longest = after(now, Duration::MAX);
        assert_eq!(longest.duration_since(now), DECADES);
        assert!(after(longest, Duration::MAX) >= longest);
    }
}
