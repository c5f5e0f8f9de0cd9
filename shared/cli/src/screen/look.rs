//! How text may look on the place where it is shown: colours, symbols, and how much fits.

use std::env;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::fd::AsFd;

use clap::ColorChoice;
use clap::builder::styling::{AnsiColor, Effects, Style};
use rustix::termios::tcgetwinsize;

/// The properties of a terminal, a file or a pipe.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// Whether colours are shown.
    is_coloured: bool,
    /// Whether symbols beyond ASCII are shown.
    is_unicode: bool,
    /// The size of the terminal; `None` for a file or a pipe, where everything fits.
    pub(crate) size: Option<Size>,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// What a text means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tone {
    /// Less important than the rest.
    Dim,
    #[default]
    Plain,
    /// A head or a name.
    Strong,
    Good,
    /// Somebody should look.
    Warn,
    /// It needs somebody.
    Bad,
}

/// Symbols with a meaning, and what stands for them in ASCII.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Symbol {
    Done,
    Failed,
    Warning,
    Note,
    /// Text was left out.
    More,
    /// Between two facts.
    Dot,
}

// === impl Look ===

impl Look {
    /// Returns the look of a standard stream, by what it is and by what the user asked for.
    pub(crate) fn of(stream: &(impl AsFd + IsTerminal), choice: ColorChoice) -> Self {
        let is_terminal = stream.is_terminal();
        let size = tcgetwinsize(stream).ok().filter(|_| is_terminal);
        let size = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
        Self {
            is_coloured: is_coloured(choice, is_terminal, |name| env::var_os(name)),
            is_unicode: is_unicode(|name| env::var_os(name)),
            size: size.map(|size| Size {
                columns: size.ws_col.into(),
                rows: size.ws_row.into(),
            }),
        }
    }

    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            _ if !self.is_coloured || text.is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Dim => Style::new().effects(Effects::DIMMED),
            Tone::Strong => Style::new().effects(Effects::BOLD),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Warn => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
        };
        format!("{style}{text}{style:#}")
    }

    /// The frames of a sign of life.
    pub(crate) fn frames(self) -> &'static str {
        if self.is_unicode {
            "⠋⠙⠸⠴⠦⠇⠏⠟"
        } else {
            "|/-\\|/-\\"
        }
    }

    /// Returns the beginning of a text that is longer than `width`, and says that it goes on.
    pub(crate) fn cut(self, text: &str, width: usize) -> String {
        if text.chars().count() <= width {
            return text.to_owned();
        }
        let more = self.symbol(Symbol::More);
        let kept = width.saturating_sub(more.chars().count());
        text.chars().take(kept).chain(more.chars()).collect()
    }

    pub(crate) fn symbol(self, symbol: Symbol) -> &'static str {
        let (unicode, ascii) = match symbol {
            Symbol::Done => ("✓", "ok"),
            Symbol::Failed => ("✗", "x"),
            Symbol::Warning => ("!", "!"),
            Symbol::Note => ("·", "-"),
            Symbol::More => ("…", ".."),
            Symbol::Dot => (" · ", ", "),
        };
        if self.is_unicode { unicode } else { ascii }
    }
}

// The user's word counts most, then https://no-color.org and https://bixense.com/clicolors.
fn is_coloured(
    choice: ColorChoice,
    is_terminal: bool,
    env: impl Fn(&str) -> Option<OsString>,
) -> bool {
    let set = |name| env(name).filter(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if set("NO_COLOR").is_some() => false,
        ColorChoice::Auto if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        ColorChoice::Auto => is_terminal && set("TERM").is_none_or(|term| term != "dumb"),
    }
}

// POSIX asks these variables in this order; the first that is set decides.
fn is_unicode(env: impl Fn(&str) -> Option<OsString>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| {
        env(name)
            .filter(|value| !value.is_empty())
            .map(|value| value.to_string_lossy().to_lowercase())
    });
    locale.is_some_and(|locale| locale.contains("utf-8") || locale.contains("utf8"))
}

#[cfg(test)]
impl Look {
    /// A terminal of `columns` and 24 rows, without colours.
    pub(crate) fn terminal(columns: usize) -> Self {
        Self {
            is_coloured: false,
            is_unicode: true,
            size: Some(Size { columns, rows: 24 }),
        }
    }

    pub(crate) fn coloured(self) -> Self {
        Self {
            is_coloured: true,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(set: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        move |name| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        }
    }

    #[test]
    fn the_flag_counts_more_than_the_variables_and_these_more_than_the_terminal() {
        use ColorChoice::{Always, Auto, Never};
        let no: &[_] = &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")];
        let force: &[_] = &[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")];
        let rows: [(ColorChoice, bool, &'static [_], bool); 9] = [
            (Auto, true, &[], true),
            (Auto, false, &[], false),
            (Auto, true, &[("TERM", "dumb")], false),
            (Auto, true, no, false),
            (Auto, true, &[("NO_COLOR", "")], true),
            (Auto, false, force, true),
            (Auto, false, &[("CLICOLOR_FORCE", "0")], false),
            (Always, false, no, true),
            (Never, true, force, false),
        ];
        for (choice, is_terminal, set, expected) in rows {
            assert_eq!(
                is_coloured(choice, is_terminal, env(set)),
                expected,
                "{set:?}"
            );
        }
    }

    #[test]
    fn the_first_variable_of_the_locale_that_is_set_says_which_symbols_are_shown() {
        let rows: [(&'static [_], bool); 5] = [
            (&[], false),
            (&[("LANG", "de_DE.UTF-8")], true),
            (&[("LC_ALL", ""), ("LANG", "C.utf8")], true),
            (&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")], false),
            (&[("LC_CTYPE", "POSIX"), ("LANG", "de_DE.UTF-8")], false),
        ];
        for (set, expected) in rows {
            assert_eq!(is_unicode(env(set)), expected, "{set:?}");
        }
    }

    #[test]
    fn a_colour_is_taken_back_after_the_text() {
        let plain = Look::terminal(80);
        assert_eq!(plain.paint(Tone::Bad, "no"), "no");
        assert_eq!(
            plain.coloured().paint(Tone::Bad, "no"),
            "\u{1b}[31mno\u{1b}[0m"
        );
        assert_eq!(plain.coloured().paint(Tone::Bad, ""), "");
    }
}
