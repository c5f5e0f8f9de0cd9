//! The one place that prints errors.

use std::io::{self, Write as _};
use std::process::ExitCode;

use mesh_records::{Explained, StreamError};

use crate::{Clean, Exit};

/// Ends a tool: prints its error, if there is one, and turns its result into the exit code.
///
/// An error is exit code 2. A reader that went away is no error that anybody could read: 141,
/// silently.
pub fn report(tool: &str, result: anyhow::Result<Exit>) -> ExitCode {
    let exit = match result {
        Ok(exit) => exit,
        Err(error) if is_broken_pipe(&error) => Exit::ReaderGone,
        Err(error) => {
            print(tool, "", &error);
            Exit::Failed
        }
    };
    ExitCode::from(exit.code())
}

/// Tells a person why a run ended that is no failure of the tool: its exit code says which.
pub fn tell(tool: &str, error: &anyhow::Error) {
    print(tool, "", error);
}

/// Tells a person of something that does not end the run.
pub fn warn(tool: &str, error: &anyhow::Error) {
    print(tool, "warning: ", error);
}

fn print(tool: &str, prefix: &str, error: &anyhow::Error) {
    let mut text = format!("{tool}: {prefix}{}\n", Clean(&format!("{error:#}")));
    if let Some(hint) = hint(error) {
        text.push_str("hint: ");
        text.push_str(&Clean(&hint).to_string());
        text.push('\n');
    }
    // Nobody is left to tell when standard error cannot be written.
    drop(io::stderr().write_all(text.as_bytes()));
}

// The innermost hint: it knows the cause best.
fn hint(error: &anyhow::Error) -> Option<String> {
    let hints = error.chain().filter_map(|cause| {
        let explained = cause
            .downcast_ref::<Explained>()
            .map(|cause| cause.hint().to_owned());
        explained.or_else(|| {
            cause
                .downcast_ref::<StreamError>()
                .map(|cause| cause.hint().to_owned())
        })
    });
    hints.filter(|hint| !hint.is_empty()).last()
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}
