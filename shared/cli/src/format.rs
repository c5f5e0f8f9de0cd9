//! The forms in which a tool shows its records.

use std::io::{self, IsTerminal as _};

use clap::{Args, ColorChoice, ValueEnum};

use crate::github::Annotations;
use crate::screen::{Detail, Look, Only, Screen};
use crate::view::View;

/// How a tool shows its records.
#[derive(Args, Clone, Debug)]
pub struct OutputArgs {
    /// Output format; the default is a table on a terminal and NDJSON otherwise
    #[arg(short, long, value_enum, env = "MESH_OUTPUT", value_name = "FORMAT")]
    pub output: Option<Format>,

    /// In a table and among names, list only the workloads that somebody should look at
    #[arg(long, value_enum, value_name = "WHAT")]
    pub only: Option<Only>,

    /// Colour the text for people; `auto` also heeds NO_COLOR and CLICOLOR_FORCE
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorChoice::Auto)]
    pub color: ColorChoice,
}

/// The forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON record per line (also called json).
    #[value(alias = "json")]
    Ndjson,
    /// Aligned text for people, as much as fits the screen.
    Table,
    /// The same text with every workload and every version.
    Wide,
    /// The names of the workloads, one per line.
    Name,
    /// Annotations of GitHub Actions.
    Github,
}

// === impl OutputArgs ===

impl OutputArgs {
    /// Returns the format that was asked for; by default a table on a terminal, else NDJSON.
    pub fn format(&self) -> Format {
        let fits = if io::stdout().is_terminal() {
            Format::Table
        } else {
            Format::Ndjson
        };
        self.output.unwrap_or(fits)
    }

    /// Returns what shows the records, unless programs read them.
    pub(crate) fn view(&self) -> Option<View> {
        let look = Look::of(&io::stdout(), self.color);
        self.format().view(self.only, look)
    }
}

impl Format {
    /// Returns what shows the records in a file, unless programs read them.
    pub(crate) fn view_of_file(self) -> Option<View> {
        self.view(None, Look::default())
    }

    fn view(self, only: Option<Only>, look: Look) -> Option<View> {
        let detail = match self {
            Self::Ndjson => return None,
            Self::Github => return Some(View::Github(Annotations::default())),
            Self::Name => Detail::Names(only),
            Self::Table | Self::Wide if only == Some(Only::Problems) => Detail::Problems,
            Self::Table => Detail::Short,
            Self::Wide => Detail::Wide,
        };
        Some(View::Screen(Box::new(Screen::new(detail, look))))
    }
}
