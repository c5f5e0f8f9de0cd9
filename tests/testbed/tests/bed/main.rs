//! Tests of the test bed itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod real;
