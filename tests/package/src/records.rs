//! What each tool writes, and an example of each record.

use mesh_records::{RecordType, Tool};
use serde_json::Value;

/// One example of each record, in the order of a run.
const EXAMPLES: &str = include_str!("../../contract/records.ndjson");

/// The tools, in the order of a run.
pub const TOOLS: [Tool; 4] = [
    Tool::MeshSurvey,
    Tool::MeshSkewcheck,
    Tool::MeshCpUpgrade,
    Tool::MeshRoll,
];

/// Returns the names of the examples' types, with the line of each.
pub fn examples() -> impl Iterator<Item = (String, &'static str)> {
    EXAMPLES.lines().filter_map(|line| {
        let record: Value = serde_json::from_str(line).ok()?;
        Some((record["type"].as_str()?.to_owned(), line))
    })
}

/// Says whether a tool writes records of a type.
#[must_use]
pub fn writes(tool: Tool, kind: RecordType) -> bool {
    match kind {
        RecordType::Stream | RecordType::End => true,
        RecordType::ControlPlane
        | RecordType::Extension
        | RecordType::Workload
        | RecordType::Proxy
        | RecordType::Anomaly
        | RecordType::Unseen
        | RecordType::Finding
        | RecordType::Plan
        | RecordType::Verdict => kind.writer() == Some(tool),
        RecordType::Intent | RecordType::Step | RecordType::Progress => {
            matches!(tool, Tool::MeshCpUpgrade | Tool::MeshRoll)
        }
        RecordType::Rolled | RecordType::Skipped => tool == Tool::MeshRoll,
        RecordType::Foreign => false,
    }
}
