//! Prints errors, warnings and their hints to standard error.

use std::any::Any;
use std::io;
use std::process::ExitCode;

use clap::ColorChoice;
use mesh_records::{Explained, StreamError};

use crate::Exit;
use crate::consent::end_question;
use crate::screen::{Look, folded};
use crate::stop::{Unread, write_error};

/// Ends a tool: prints its error, if there is one, and turns its result into the exit code.
///
/// An error gives exit code 2. A reader of standard output that went away gives 141, without a
/// message; one that did not read until a signal came gives 3.
pub fn report(tool: &str, result: anyhow::Result<Exit>) -> ExitCode {
    let exit = match result {
        Ok(exit) => exit,
        Err(error) if any(&error, Unread::is) => {
            print(tool, "", &error);
            Exit::Stopped
        }
        Err(error) if any(&error, is_broken_pipe) => Exit::BrokenPipe,
        Err(error) => {
            print(tool, "", &error);
            Exit::Failed
        }
    };
    ExitCode::from(exit.code())
}

/// Tells a person why a run ended early although the tool did not fail.
pub fn tell(tool: &str, error: &anyhow::Error) {
    print(tool, "", error);
}

/// Tells a person about a problem that does not end the run.
pub fn warn(tool: &str, error: &anyhow::Error) {
    print(tool, "warning: ", error);
}

/// Makes an error of a panic, so that a tool can end like after any other failure.
pub fn bug(panic: &(dyn Any + Send)) -> Explained {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "it does not say why".to_owned());
    let hint = "report it; look at what was announced last, then run the pipeline again";
    Explained::new(format!("a bug in this program ended the run: {text}"), hint)
}

fn print(tool: &str, prefix: &str, error: &anyhow::Error) {
    let look = Look::of(&io::stderr(), ColorChoice::Never);
    let said = |what: &str, hint| said(look, &format!("{tool}: {prefix}{what}"), hint);
    let parts = error.downcast_ref().map_or(&[][..], Explained::parts);
    let text = match parts {
        [] => said(&format!("{error:#}"), hint(error)),
        parts => {
            let parts = parts.iter();
            parts
                .map(|it| said(&it.to_string(), Some(it.hint().into())))
                .collect()
        }
    };
    end_question();
    // If standard error cannot be written, the failure can be reported nowhere.
    drop(write_error(&text));
}

fn said(look: Look, what: &str, hint: Option<String>) -> String {
    let hint = hint.filter(|hint| !hint.is_empty());
    let hint = hint.map(|hint| folded(look, &format!("hint: {hint}")));
    folded(look, what) + &hint.unwrap_or_default()
}

// The hint closest to the cause is the most specific.
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

fn any(error: &anyhow::Error, is: impl Fn(&io::Error) -> bool) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref().is_some_and(&is))
}

fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}
