//! What every mesh tool does as a process: exit codes, error messages, output, consent.
//!
//! Standard output carries only records; messages for people go to standard error. No other crate
//! prints.

mod consent;
mod evidence;
mod exit;
mod flights;
mod format;
mod gauge;
mod github;
mod input;
mod output;
mod page;
mod report;
mod screen;
mod stop;
mod view;

pub use consent::{CANCELLED, ConsentArgs, Declined, DryRun, Leave, consent};
pub use exit::{EXIT_CODES, Exit};
pub use format::{Format, OutputArgs};
pub use input::{argv, host, records_from_stdin, redact, run_id};
pub use mesh_records::Clean;
pub use output::{Closing, Output, Readers};
pub use page::page;
pub use report::{bug, report, tell, warn};
pub use stop::{Stdin, Stdout, Stop};
