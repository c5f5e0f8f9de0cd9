//! The page of fields, made of the schema.

use std::fmt::{self, Write as _};

use mesh_records::{RecordType, SCHEMA, Tool};
use serde_json::Value;

use crate::records::{TOOLS, examples, writes};

const HEAD: &str = "\
The four tools write one JSON object per line to standard output. `docs/records.schema.json` is the \
same contract as a JSON Schema (2020-12). Both files are made of the types in `shared/records` by \
`cargo run -p mesh-package -- docs docs`.

- A tool begins with `stream` and finishes with `end`. A stream without a complete `end` was cut off.
- Later versions may add fields and types. A reader ignores those that it does not know.
- What is not known is absent. No field is ever `null`.
- Times are RFC 3339 in UTC. Durations are milliseconds.
";

/// Returns the page for a schema, as Markdown.
///
/// # Errors
/// Never: a string takes all text.
pub fn page(schema: &Value) -> Result<String, fmt::Error> {
    let mut page = format!("# The records of `{SCHEMA}`\n\n{HEAD}\n");
    writeln!(page, "| record | written by | what it is |\n|---|---|---|")?;
    let records: Vec<Record<'_>> = records(schema).collect();
    for Record { name, about, .. } in &records {
        let writers = writers(name);
        writeln!(page, "| [`{name}`](#{name}) | {writers} | {about} |")?;
    }
    for Record {
        name,
        about,
        fields,
    } in &records
    {
        writeln!(page, "\n## {name}\n\n{about}\n")?;
        table(&mut page, schema, fields)?;
        for (_, line) in examples().filter(|(kind, _)| kind == name) {
            writeln!(page, "\n```json\n{line}\n```")?;
        }
    }
    writeln!(page, "\n# Parts of records")?;
    let parts = schema["$defs"].as_object().into_iter().flatten();
    for (name, part) in parts {
        let is_record = records.iter().any(|record| record.fields == part);
        if !is_record {
            writeln!(page, "\n## {name}\n\n{}\n", about(part))?;
            table(&mut page, schema, part)?;
            words(&mut page, part)?;
        }
    }
    Ok(page)
}

struct Record<'a> {
    name: &'a str,
    about: String,
    fields: &'a Value,
}

fn records(schema: &Value) -> impl Iterator<Item = Record<'_>> {
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    choices.filter_map(|choice| {
        let name = choice.pointer("/properties/type/const")?.as_str()?;
        let at = choice["$ref"].as_str()?.strip_prefix('#')?;
        let fields = schema.pointer(at)?;
        let about = about(choice);
        Some(Record {
            name,
            about,
            fields,
        })
    })
}

fn writers(name: &str) -> String {
    let kind = RecordType::named(name);
    let writers: Vec<Tool> = TOOLS.into_iter().filter(|it| writes(*it, kind)).collect();
    if writers.len() == TOOLS.len() {
        return "all".to_owned();
    }
    let writers: Vec<String> = writers.iter().map(|it| format!("`{it}`")).collect();
    writers.join(", ")
}

/// Writes the fields of an object, or of each of its alternatives.
fn table(page: &mut String, schema: &Value, object: &Value) -> fmt::Result {
    if let Some(fields) = object["properties"].as_object() {
        writeln!(
            page,
            "| field | type | always there | meaning |\n|---|---|---|---|"
        )?;
        let required = object["required"].as_array();
        for (name, field) in fields {
            let is_required = required.is_some_and(|it| it.iter().any(|it| it == name));
            let always = if is_required { "yes" } else { "" };
            let (kind, about) = (kind(field), meaning(schema, field));
            writeln!(page, "| `{name}` | {kind} | {always} | {about} |")?;
        }
    }
    for alternative in object["anyOf"].as_array().into_iter().flatten() {
        writeln!(page, "\n{}\n", about(alternative))?;
        table(page, schema, alternative)?;
    }
    Ok(())
}

/// Returns a field's description, or else that of the part that it is.
fn meaning(schema: &Value, field: &Value) -> String {
    let own = about(field);
    let part = field["$ref"].as_str().and_then(|it| it.strip_prefix('#'));
    match part.and_then(|at| schema.pointer(at)) {
        Some(part) if own.is_empty() => about(part),
        Some(_) | None => own,
    }
}

/// Writes the words of a closed set.
fn words(page: &mut String, set: &Value) -> fmt::Result {
    let words: Vec<&Value> = set["oneOf"].as_array().into_iter().flatten().collect();
    if words.is_empty() {
        return Ok(());
    }
    writeln!(page, "| word | meaning |\n|---|---|")?;
    for word in words {
        let text = word["const"].as_str().unwrap_or_default();
        writeln!(page, "| `{text}` | {} |", about(word))?;
    }
    Ok(())
}

/// Returns the type of a field in words, with a link to a part.
fn kind(field: &Value) -> String {
    if let Some(name) = field["$ref"].as_str().and_then(|it| it.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if field["format"] == "date-time" {
        return "time".to_owned();
    }
    match field["type"].as_str() {
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some("object") => {
            let values = &field["additionalProperties"];
            let is_open = values.as_object().is_none_or(serde_json::Map::is_empty);
            match is_open {
                true => "map".to_owned(),
                false => format!("map to {}", kind(values)),
            }
        }
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

/// Returns a description on one line, without the links of Rust's documentation.
fn about(part: &Value) -> String {
    let text = part["description"].as_str().unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace("[`", "`")
        .replace("`]", "`")
        .replace("crate::", "")
        .replace('|', "\\|")
}
