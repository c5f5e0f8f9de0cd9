//! What the test bed promises to the tests that stand on it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod real;
