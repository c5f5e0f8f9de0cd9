//! What a release has beside the four tools: the schema of the records, the page of fields, manual
//! pages, completions, krew's manifests and the bill of materials. `scripts/release` runs the program
//! of this crate, which writes them to files.

pub mod completions;
pub mod fields;
pub mod krew;
pub mod man;
pub mod records;
pub mod sbom;
pub mod validate;

use clap::Command;
use mesh_records::Tool;

/// Returns the command line of a tool.
#[must_use]
pub fn command(tool: Tool) -> Command {
    match tool {
        Tool::MeshSurvey => mesh_survey::command(),
        Tool::MeshSkewcheck => mesh_skewcheck::command(),
        Tool::MeshCpUpgrade => mesh_cp_upgrade::command(),
        Tool::MeshRoll => mesh_roll::command(),
    }
}
