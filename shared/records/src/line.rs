//! Raw lines: reads, parses and extends them without changing any other byte.

use std::borrow::Cow;
use std::io::{self, BufRead, Read as _, Write};

use serde::{Deserialize, Serialize};

use crate::StreamError;

/// The longest line allowed, in bytes without its newline.
pub const LONGEST: usize = 16 * 1024 * 1024;

const BOM: &[u8] = "\u{feff}".as_bytes();

/// Reads lines into one buffer. Skips blank lines, a byte order mark at the start, and a carriage
/// return at the end of a line.
#[derive(Debug)]
pub struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: u64,
}

/// One line of the input, without its newline.
#[derive(Clone, Copy, Debug)]
pub struct RawLine<'a> {
    /// The line's text.
    pub text: &'a str,
    /// The line's number, counted from 1.
    pub number: u64,
    /// Whether the input ends here without a newline, as in the middle of a line.
    pub unended: bool,
}

#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

// === impl Lines ===

impl<R: BufRead> Lines<R> {
    /// Makes a reader of lines from `input`.
    pub fn new(input: R) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            number: 0,
        }
    }

    /// Returns the next line that is not blank, or `None` at the end of the input.
    ///
    /// # Errors
    /// The input cannot be read, or a line is too long or not UTF-8.
    pub fn next_line(&mut self) -> Result<Option<RawLine<'_>>, StreamError> {
        let range = loop {
            self.buffer.clear();
            self.number += 1;
            let most = LONGEST as u64 + 2;
            let read = self
                .input
                .by_ref()
                .take(most)
                .read_until(b'\n', &mut self.buffer);
            if read.map_err(StreamError::Io)? == 0 {
                return Ok(None);
            }
            let start = self.bom();
            let text = self.buffer[start..].trim_ascii();
            if text.len() > LONGEST {
                return Err(StreamError::TooLong { line: self.number });
            }
            if !text.is_empty() {
                let start = self.buffer.len() - self.buffer[start..].trim_ascii_start().len();
                break start..start + text.len();
            }
        };
        let unended = !self.buffer.ends_with(b"\n");
        let line = self.number;
        let text = std::str::from_utf8(&self.buffer[range]).map_err(|error| {
            // `None`: the text ends in the middle of a character.
            match unended && error.error_len().is_none() {
                true => StreamError::CutLine { line },
                false => StreamError::NotUtf8 { line },
            }
        })?;
        Ok(Some(RawLine {
            text,
            number: line,
            unended,
        }))
    }

    fn bom(&self) -> usize {
        if self.number == 1 && self.buffer.starts_with(BOM) {
            BOM.len()
        } else {
            0
        }
    }
}

// === impl RawLine ===

impl<'a> RawLine<'a> {
    /// Returns the value of the line's `type` field; the field may be at any position.
    ///
    /// # Errors
    /// The line is not a JSON object with a `type`.
    pub fn kind(&self) -> Result<Cow<'a, str>, StreamError> {
        match serde_json::from_str::<Probe<'a>>(self.text) {
            Ok(probe) => Ok(probe.kind),
            Err(error) => Err(self.malformed(&error)),
        }
    }

    /// Returns true if the line is whole and begins as a workload's record that these tools write. The
    /// rest of it is not looked at: whoever parses it finds what is wrong.
    #[must_use]
    pub fn begins_as_workload(&self) -> bool {
        !self.unended && self.text.starts_with("{\"type\":\"workload\",")
    }

    /// Parses the line as a record.
    ///
    /// # Errors
    /// A field is missing or wrong; the error names the line, the type and the field.
    pub fn parse<T: Deserialize<'a>>(&self) -> Result<T, StreamError> {
        match serde_json::from_str(self.text) {
            Ok(record) => Ok(record),
            Err(_) => Err(match self.kind() {
                Ok(kind) => self.wrong_field::<T>(kind.into_owned()),
                // It is no record at all.
                Err(error) => error,
            }),
        }
    }

    /// Writes the line with one more field at its end.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn splice(
        &self,
        field: &str,
        value: &impl Serialize,
        mut out: impl Write,
    ) -> io::Result<()> {
        let brace = self.text.rfind('}').unwrap_or(self.text.len());
        out.write_all(&self.text.as_bytes()[..brace])?;
        out.write_all(b",\"")?;
        out.write_all(field.as_bytes())?;
        out.write_all(b"\":")?;
        serde_json::to_writer(&mut out, value)?;
        out.write_all(b"}\n")
    }

    // Parses the line again, with a slower parser that also reports the path of the wrong field.
    fn wrong_field<T: Deserialize<'a>>(&self, kind: String) -> StreamError {
        let mut json = serde_json::Deserializer::from_str(self.text);
        match serde_path_to_error::deserialize::<_, T>(&mut json) {
            Ok(_) => StreamError::malformed(self.number, "the line has more than one JSON value"),
            Err(error) => StreamError::WrongField {
                line: self.number,
                kind,
                field: error.path().to_string(),
                cause: without_position(&error.into_inner()),
            },
        }
    }

    fn malformed(&self, error: &serde_json::Error) -> StreamError {
        let line = self.number;
        if !self.text.starts_with(['{', '[', '"']) {
            return StreamError::NotJson {
                line,
                start: self.text.chars().take(24).collect(),
            };
        }
        if error.is_eof() && self.unended {
            return StreamError::CutLine { line };
        }
        if error.is_eof() && matches!(self.text, "{" | "[") {
            return StreamError::Pretty { line };
        }
        if self.text.starts_with('[') {
            return StreamError::malformed(
                line,
                "the line is a JSON array; split it with `jq -c '.[]'`",
            );
        }
        if self.text.starts_with('"') {
            return StreamError::malformed(
                line,
                "the line is a JSON string, but a record is an object",
            );
        }
        StreamError::malformed(line, &without_position(error))
    }
}

// Drops serde_json's line number, which is always 1: `StreamError` has the line's number in the
// input.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) if error.column() > 0 => format!("{}, column {}", &text[..at], error.column()),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str, number: u64) -> RawLine<'_> {
        RawLine {
            text,
            number,
            unended: false,
        }
    }

    fn lines(input: &[u8]) -> Vec<Result<(u64, String), String>> {
        let mut lines = Lines::new(input);
        let mut seen = Vec::new();
        loop {
            match lines.next_line() {
                Ok(Some(line)) => seen.push(Ok((line.number, line.text.to_owned()))),
                Ok(None) => return seen,
                Err(error) => {
                    seen.push(Err(error.to_string()));
                    return seen;
                }
            }
        }
    }

    #[test]
    fn a_bom_carriage_returns_and_blank_lines_are_skipped() {
        let seen = lines("\u{feff}{\"a\":1}\r\n\n  \n{\"b\":2}".as_bytes());
        assert_eq!(
            seen,
            [Ok((1, "{\"a\":1}".into())), Ok((4, "{\"b\":2}".into()))]
        );
    }

    #[test]
    fn a_line_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
        let at = format!("\"{}\"\n", "x".repeat(LONGEST - 2));
        assert_eq!(lines(at.as_bytes()).len(), 1);
        let over = format!("\"{}\"\n", "x".repeat(LONGEST - 1));
        assert!(
            lines(over.as_bytes())[0]
                .as_ref()
                .unwrap_err()
                .contains("line 1")
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_by_line() {
        assert!(
            lines(b"{}\n{\"a\":\"\xff\"}\n")[1]
                .as_ref()
                .unwrap_err()
                .contains("line 2")
        );
    }

    #[test]
    fn kind_finds_the_type_at_any_position_and_with_escapes() {
        for text in [
            r#"{"type":"workload","x":1}"#,
            r#"{"x":{"type":"no"},"type":"workload"}"#,
            r#"{ "x" : [1] , "type" : "\u0077orkload" }"#,
        ] {
            assert_eq!(raw(text, 1).kind().unwrap(), "workload", "{text}");
        }
    }

    #[test]
    fn splicing_keeps_every_other_byte() {
        let text = r#"{"type":"x","n":1.0e2,"s":"\u00e4", "o":{"a":1}}  "#.trim();
        let mut out = Vec::new();
        raw(text, 1).splice("skew", &1, &mut out).unwrap();
        let expected = format!("{},\"skew\":1}}\n", &text[..text.len() - 1]);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn errors_name_the_line_the_type_and_the_field() {
        let text = r#"{"type":"end","tool":"mesh-survey","outcome":"fine","exit":0,"totals":{}}"#;
        let error = raw(text, 7).parse::<crate::End>().unwrap_err().to_string();
        for part in ["line 7", "end", "outcome", "fine"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn input_that_is_not_ndjson_gets_its_own_stream_error() {
        let kind = |text: &str| raw(text, 1).kind().unwrap_err();
        assert!(matches!(
            kind("NAMESPACE  KIND"),
            StreamError::NotJson { .. }
        ));
        assert!(matches!(kind("{"), StreamError::Pretty { .. }));
        assert!(matches!(
            kind("{\"type\":\"a\""),
            StreamError::Malformed { .. }
        ));
        assert!(matches!(
            kind("{\"type\":\"a\"} {}"),
            StreamError::Malformed { .. }
        ));
        assert!(matches!(
            kind("{\"kind\":\"a\"}"),
            StreamError::Malformed { .. }
        ));
        assert!(matches!(
            kind(&"[".repeat(4096)),
            StreamError::Malformed { .. }
        ));
        let told = |text: &str| kind(text).to_string();
        assert!(told(r#"[{"type":"a"}]"#).contains("jq -c '.[]'"));
        assert!(told(r#""type""#).contains("a record is an object"));
    }
}
