//! The manual pages.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use mesh_cli::EXIT_CODES;
use mesh_records::{RecordType, Tool};
use serde_json::Value;

use crate::records::{TOOLS, examples, writes};

/// Writes the manual page of a tool.
///
/// # Errors
/// `out` cannot be written.
pub fn page(tool: Tool, command: Command, out: &mut dyn Write) -> io::Result<()> {
    let man = Man::new(command).manual("Upgrading Linkerd");
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    let mut rest = Roff::new();
    exit_status(&mut rest);
    records(&mut rest, tool);
    see_also(&mut rest, tool);
    rest.to_writer(out)
}

fn section(page: &mut Roff, name: &str) {
    page.control("SH", [name]);
}

fn exit_status(page: &mut Roff) {
    section(page, "EXIT STATUS");
    for line in EXIT_CODES.lines().skip(1) {
        let (code, meaning) = line.trim().split_once(' ').unwrap_or((line, ""));
        page.control("TP", []);
        page.text([roman(code)]);
        page.text([roman(meaning.trim())]);
    }
}

fn records(page: &mut Roff, tool: Tool) {
    section(page, "RECORDS");
    let about = "Standard output is one JSON object per line when it is no terminal. \
                 This tool writes the records below; here each field has a line of its own. \
                 Later versions may add fields and types.";
    page.text([roman(about)]);
    for (name, line) in examples() {
        if !writes(tool, RecordType::named(&name)) {
            continue;
        }
        page.control("SS", [&*name]);
        page.control("nf", []);
        for field in spread(line, tool) {
            page.text([roman(field)]);
        }
        page.control("fi", []);
    }
}

/// Spreads the example of a record over lines: one for each field.
fn spread(line: &str, tool: Tool) -> Vec<String> {
    let Ok(Value::Object(mut record)) = serde_json::from_str(line) else {
        return vec![line.to_owned()];
    };
    if record.contains_key("tool") {
        record.insert("tool".to_owned(), tool.name().into());
    }
    // The type tells what the other fields are.
    let kind = record.remove_entry("type");
    let last = record.len();
    let fields = kind.into_iter().chain(record).enumerate();
    let fields = fields.map(|(at, (name, value))| {
        let open = if at == 0 { "{" } else { " " };
        let close = if at == last { "}" } else { "," };
        format!("{open}\"{name}\":{value}{close}")
    });
    fields.collect()
}

fn see_also(page: &mut Roff, tool: Tool) {
    section(page, "SEE ALSO");
    let others = TOOLS.into_iter().filter(|it| *it != tool);
    let others: Vec<String> = others.map(|it| format!("{it}(1)")).collect();
    page.text([roman(others.join(", "))]);
}
