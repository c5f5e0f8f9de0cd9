//! What every mesh tool does as a process: exit codes, error messages, output, consent.
//!
//! Standard output carries only records; messages for people go to standard error. No other crate
//! prints.

mod consent;
mod evidence;
mod exit;
mod github;
mod input;
mod output;
mod page;
mod report;
mod stop;
mod table;
mod view;

pub use consent::{ConsentArgs, Declined, DryRun, Leave, consent};
pub use exit::{EXIT_CODES, Exit};
pub use input::{argv, host, records_from_stdin, run_id};
pub use mesh_records::Clean;
pub use output::{Closing, Format, Output, OutputArgs, Readers};
pub use page::page;
pub use report::{bug, report, tell, warn};
pub use stop::{Stdin, Stdout, Stop};
