//! A mesh tool as a process: exit codes, the one error printer, output by terminal, consent.
//!
//! Standard output bears records and nothing else; standard error bears what people read. Nothing
//! outside this crate prints.

mod consent;
mod exit;
mod input;
mod output;
mod report;
mod sanitise;
mod table;

pub use consent::{ConsentArgs, DryRun, Leave, consent};
pub use exit::{EXIT_CODES, Exit};
pub use input::{argv, host, records_from_stdin, run_id};
pub use output::{Closing, Format, Output, OutputArgs, Readers};
pub use report::{report, tell, warn};
pub use sanitise::Clean;
