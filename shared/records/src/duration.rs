//! Durations on the command line and for people, and moments after them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// No run lasts longer. Moments that far away can still be computed, also by other libraries.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Returns the time that comes `duration` after `time`, or the last one that there is. Times come
/// from objects, where anybody may have written the year 9999.
pub fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    let last = match duration.is_negative() {
        true => Timestamp::MIN,
        false => Timestamp::MAX,
    };
    time.checked_add(duration).unwrap_or(last)
}

/// Returns a duration in the units that a person would choose.
#[must_use]
pub fn roughly(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Parses a duration as kubectl writes them: `90s`, `5m`, `1h30m`. More than a century counts as a
/// century.
///
/// # Errors
/// The text is not a duration, or the duration is negative.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let example = "write it as 90s, 5m or 1h30m";
    let signed: SignedDuration = text
        .parse()
        .map_err(|_| format!("not a duration; {example}"))?;
    let duration = Duration::try_from(signed);
    let duration = duration.map_err(|_| format!("a duration must not be negative; {example}"))?;
    Ok(duration.min(CENTURY))
}

/// Parses a time limit: a duration that is not zero.
///
/// # Errors
/// As [`parse_duration`], or the duration is zero.
pub fn parse_timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("must be longer than zero; write it as 90s, 5m or 1h30m".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_duration_reads_kubectls_forms_and_refuses_bare_and_negative_numbers() {
        let table = [("90s", 90), ("5m", 300), ("1h30m", 5400), ("0s", 0)];
        for (text, seconds) in table {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in ["", "5", "-5m", "5 parsecs"] {
            assert!(parse_duration(text).is_err(), "{text}");
            assert!(parse_timeout(text).is_err(), "{text}");
        }
        assert_eq!(parse_duration("999999999h"), Ok(CENTURY));
        assert!(parse_timeout("0s").is_err());
        assert_eq!(parse_timeout("5m"), Ok(Duration::from_secs(300)));
    }

    #[test]
    fn after_ends_at_the_last_time_that_there_is() {
        let hour = SignedDuration::from_hours(1);
        assert_eq!(after(Timestamp::UNIX_EPOCH, hour).as_second(), 3600);
        assert_eq!(after(Timestamp::MAX, hour), Timestamp::MAX);
        assert_eq!(
            after(Timestamp::UNIX_EPOCH, SignedDuration::MAX),
            Timestamp::MAX
        );
        assert_eq!(after(Timestamp::MIN, -hour), Timestamp::MIN);
    }
}
