//! Checks that a judged stream does not contradict itself. A verdict that was edited, or copied in
//! from another stream, is an error.

use jiff::Timestamp;
use serde::Deserialize;

use crate::{End, RawLine, Stream, StreamError};

/// The surveys and verdicts read so far from a judged stream.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    surveys: Vec<(Option<String>, Option<Timestamp>)>,
    verdicts: usize,
    passing: usize,
}

#[derive(Deserialize)]
struct Head {
    cluster_uid: Option<String>,
    surveyed: Option<Timestamp>,
    pass: bool,
    blocking: Vec<String>,
}

impl Agreement {
    pub(crate) fn survey(&mut self, stream: &Stream) {
        self.surveys.push((stream.cluster_uid.clone(), stream.time));
    }

    pub(crate) fn verdict(&mut self, line: RawLine<'_>) -> Result<(), StreamError> {
        let Head {
            cluster_uid,
            surveyed,
            pass,
            blocking,
        } = line.parse()?;
        if pass != blocking.is_empty() {
            let cause = if pass {
                "the verdict contradicts itself: `pass` is true, but `blocking` has rules"
            } else {
                "the verdict contradicts itself: `pass` is false, but `blocking` is empty"
            };
            return Err(StreamError::malformed(line.number, cause));
        }
        if !self.surveys.contains(&(cluster_uid, surveyed)) {
            let cause = "the verdict is about a survey that is not in the stream";
            return Err(StreamError::malformed(line.number, cause));
        }
        self.verdicts += 1;
        self.passing += usize::from(pass);
        Ok(())
    }

    // A filter may have removed verdicts, so only a failing verdict under exit code 0 contradicts.
    pub(crate) fn end(&self, end: &End, number: u64) -> Result<(), StreamError> {
        let contradicts = match end.exit {
            0 => self.passing < self.verdicts,
            _ => false,
        };
        if contradicts {
            let cause = "the `end` record has exit code 0, but a verdict before it says no";
            return Err(StreamError::malformed(number, cause));
        }
        Ok(())
    }
}
