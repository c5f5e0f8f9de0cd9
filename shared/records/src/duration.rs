//! Durations on the command line.

use std::time::Duration;

use jiff::SignedDuration;

/// Parses a duration as kubectl writes them: `90s`, `5m`, `1h30m`.
///
/// # Errors
/// The text is not a duration, or the duration is negative.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let example = "write it as 90s, 5m or 1h30m";
    let signed: SignedDuration = text
        .parse()
        .map_err(|_| format!("not a duration; {example}"))?;
    Duration::try_from(signed).map_err(|_| format!("a duration must not be negative; {example}"))
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
        assert!(parse_timeout("0s").is_err());
        assert_eq!(parse_timeout("5m"), Ok(Duration::from_secs(300)));
    }
}
