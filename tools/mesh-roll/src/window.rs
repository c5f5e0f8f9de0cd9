//! The parts of a week in which workloads may be started (`--window`). Pure.

use std::iter::successors;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

/// A part of some days of each week, in a time zone. It belongs to the day on which it opens, also
/// where it closes on the next one.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    days: Vec<Weekday>,
    opens: Time,
    closes: Time,
    zone: TimeZone,
}

/// Whether workloads may be started at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Yes, until then.
    Until(Timestamp),
    /// Not before the time that these words say.
    Closed(String),
}

const USAGE: &str = "write it as 'Mon-Fri 22:00-04:00 Europe/Berlin'; without days it is every day, without a time zone it is UTC";
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];
/// From yesterday to the same weekday next week, and a day for a time zone's change.
const HORIZON: usize = 10;

impl Opening {
    /// Returns whether any of the windows is open. Windows that overlap, or follow on each other,
    /// are one. Without a window it is always open, and there is no answer.
    pub(crate) fn of(windows: &[Window], now: Timestamp) -> Option<Self> {
        let spans = windows.iter().flat_map(|window| {
            let spans = window.spans(now);
            spans.map(move |(opens, closes)| (opens, closes, &window.zone))
        });
        let spans: Vec<(Timestamp, Timestamp, &TimeZone)> = spans.collect();
        let closes_after = |at: Timestamp| {
            let open = spans
                .iter()
                .filter(|(opens, closes, _)| *opens <= at && at < *closes);
            open.map(|(_, closes, _)| *closes).max()
        };
        if windows.is_empty() {
            return None;
        }
        if let Some(closes) = successors(closes_after(now), |at| closes_after(*at)).last() {
            return Some(Self::Until(closes));
        }
        let next = spans.iter().filter(|(opens, ..)| *opens > now);
        let next = next.min_by_key(|(opens, ..)| *opens);
        Some(Self::Closed(match next {
            Some((opens, _, zone)) => {
                let opens = opens.to_zoned((*zone).clone());
                let name = zone.iana_name().unwrap_or("UTC");
                format!("it opens on {} {name}", opens.strftime("%a %Y-%m-%d %H:%M"))
            }
            None => "it does not open again".to_owned(),
        }))
    }
}

// === impl Window ===

impl Window {
    // Returns when it opens and closes, from yesterday on. A time that the clock skips counts as the
    // one after it, and of a time that the clock shows twice the first one counts.
    fn spans(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let today = now.to_zoned(self.zone.clone()).date();
        let days = successors(today.yesterday().ok(), |day| day.tomorrow().ok()).take(HORIZON);
        let days = days.filter(|day| self.days.contains(&day.weekday()));
        days.filter_map(|day| {
            let last = match self.closes > self.opens {
                true => day,
                false => day.tomorrow().ok()?,
            };
            Some((self.at(day, self.opens)?, self.at(last, self.closes)?))
        })
    }

    fn at(&self, day: Date, time: Time) -> Option<Timestamp> {
        self.zone.to_timestamp(day.to_datetime(time)).ok()
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, times, zone) = match words[..] {
            [times] => (None, times, None),
            [days, times] if times.contains(':') => (Some(days), times, None),
            [times, zone] => (None, times, Some(zone)),
            [days, times, zone] => (Some(days), times, Some(zone)),
            _ => return Err(USAGE.to_owned()),
        };
        let (opens, closes) = times.split_once('-').ok_or(USAGE)?;
        let opens = time(opens)?;
        // A day ends when the next one begins.
        let closes = match closes {
            "24:00" => Time::midnight(),
            closes => time(closes)?,
        };
        if opens == closes && !times.ends_with("-24:00") {
            return Err("it has no length; a whole day is 00:00-24:00".to_owned());
        }
        Ok(Self {
            days: days_of(days)?,
            opens,
            closes,
            zone: match zone {
                None => TimeZone::UTC,
                Some(zone) => TimeZone::get(zone).map_err(|_| {
                    format!("`{zone}` is no time zone; write its name, such as Europe/Berlin")
                })?,
            },
        })
    }
}

fn time(text: &str) -> Result<Time, String> {
    let is_time = text.len() == 5 && text.as_bytes()[2] == b':';
    let time = Time::strptime("%H:%M", text).ok().filter(|_| is_time);
    time.ok_or_else(|| format!("`{text}` is no time of a day; write it as 22:00"))
}

// Days and ranges of days; a range may go over the end of the week.
fn days_of(text: Option<&str>) -> Result<Vec<Weekday>, String> {
    let Some(text) = text else {
        return Ok(DAYS.map(|(_, day)| day).into());
    };
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        days.push(first);
        while days.last() != Some(&last) {
            days.extend(days.last().map(|day| day.next()));
        }
    }
    Ok(days)
}

fn day(text: &str) -> Result<Weekday, String> {
    let mut days = DAYS.iter();
    let found = days.find(|(name, _)| text.eq_ignore_ascii_case(name));
    let found = found.map(|(_, day)| *day);
    found.ok_or_else(|| {
        format!("`{text}` is no day; write it as Mon, Tue, Wed, Thu, Fri, Sat or Sun")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(windows: &str, now: &str) -> Option<Opening> {
        let windows = windows.split(';').map(|window| window.parse().unwrap());
        let windows: Vec<Window> = windows.collect();
        Opening::of(&windows, now.parse().unwrap())
    }

    // 2026-03-02 is a Monday. Berlin's clock goes forward in the night to Sunday, 2026-03-29, and
    // back in the night to Sunday, 2026-10-25.
    #[test]
    fn a_window_is_open_from_its_day_on_in_its_time_zone_also_over_midnight() {
        const NIGHTS: &str = "Mon-Fri 22:00-04:00 Europe/Berlin";
        let table = [
            (
                NIGHTS,
                "2026-03-02T20:59:59Z",
                Err("Mon 2026-03-02 22:00 Europe/Berlin"),
            ),
            (NIGHTS, "2026-03-02T21:00:00Z", Ok("2026-03-03T03:00:00Z")),
            (NIGHTS, "2026-03-03T02:59:59Z", Ok("2026-03-03T03:00:00Z")),
            (
                NIGHTS,
                "2026-03-03T03:00:00Z",
                Err("Tue 2026-03-03 22:00 Europe/Berlin"),
            ),
            // Friday's window closes on Saturday, and Sunday has none that closes on Monday.
            (NIGHTS, "2026-03-07T02:00:00Z", Ok("2026-03-07T03:00:00Z")),
            (
                NIGHTS,
                "2026-03-07T03:00:00Z",
                Err("Mon 2026-03-09 22:00 Europe/Berlin"),
            ),
            (
                NIGHTS,
                "2026-03-09T02:00:00Z",
                Err("Mon 2026-03-09 22:00 Europe/Berlin"),
            ),
            (
                "Sat 22:00-04:00 Europe/Berlin",
                "2026-03-28T21:00:00Z",
                Ok("2026-03-29T02:00:00Z"),
            ),
            (
                "Sat 22:00-04:00 Europe/Berlin",
                "2026-10-24T20:00:00Z",
                Ok("2026-10-25T03:00:00Z"),
            ),
            // The clock skips this hour, and shows this one twice.
            (
                "Sun 02:30-05:00 Europe/Berlin",
                "2026-03-29T01:29:59Z",
                Err("Sun 2026-03-29 03:30 Europe/Berlin"),
            ),
            (
                "Sun 01:00-02:30 Europe/Berlin",
                "2026-10-25T00:29:59Z",
                Ok("2026-10-25T00:30:00Z"),
            ),
            (
                "Sun 01:00-02:30 Europe/Berlin",
                "2026-10-25T00:30:00Z",
                Err("Sun 2026-11-01 01:00 Europe/Berlin"),
            ),
            (
                "10:00-11:00",
                "2026-03-02T11:00:00Z",
                Err("Tue 2026-03-03 10:00 UTC"),
            ),
            (
                "fri-mon 10:00-11:00",
                "2026-03-02T11:00:00Z",
                Err("Fri 2026-03-06 10:00 UTC"),
            ),
            (
                "Mon 10:00-11:00",
                "2026-03-02T11:00:00Z",
                Err("Mon 2026-03-09 10:00 UTC"),
            ),
            (
                "Mon,Wed 20:00-24:00",
                "2026-03-02T20:00:00Z",
                Ok("2026-03-03T00:00:00Z"),
            ),
            // Two windows that follow on each other are one, and the next of several is named.
            (
                "Mon 20:00-24:00;Tue 00:00-02:00",
                "2026-03-02T21:00:00Z",
                Ok("2026-03-03T02:00:00Z"),
            ),
            (
                "Mon 20:00-22:00;Mon 21:00-23:00",
                "2026-03-02T21:30:00Z",
                Ok("2026-03-02T23:00:00Z"),
            ),
            (
                "Sat 10:00-11:00;Thu 10:00-11:00 Asia/Tokyo",
                "2026-03-02T12:00:00Z",
                Err("Thu 2026-03-05 10:00 Asia/Tokyo"),
            ),
        ];
        for (windows, now, expected) in table {
            let expected = match expected {
                Ok(closes) => Opening::Until(closes.parse().unwrap()),
                Err(opens) => Opening::Closed(format!("it opens on {opens}")),
            };
            assert_eq!(opening(windows, now), Some(expected), "{windows} {now}");
        }
        assert_eq!(Opening::of(&[], Timestamp::UNIX_EPOCH), None);
        assert_eq!(
            Opening::of(&["10:00-11:00".parse().unwrap()], Timestamp::MAX),
            Some(Opening::Closed("it does not open again".to_owned()))
        );
    }

    #[test]
    fn a_wrong_window_is_refused_by_its_part() {
        for (text, said) in [
            ("", USAGE),
            ("Mon", USAGE),
            ("Mon 22:00-04:00 Europe/Berlin now", USAGE),
            ("Mun 22:00-04:00", "`Mun` is no day"),
            ("Mon- 22:00-04:00", "`` is no day"),
            ("22-4", "`22` is no time"),
            ("9:00-10:00", "`9:00` is no time"),
            ("24:00-04:00", "`24:00` is no time"),
            ("22:00-22:00", "no length"),
            ("22:00-04:00 Berlin", "`Berlin` is no time zone"),
        ] {
            let error = text.parse::<Window>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
