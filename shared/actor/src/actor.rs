//! The description of a tool that changes a cluster (an action).

use mesh_records::Tool;

/// A tool that changes a cluster (an action).
#[derive(Clone, Debug)]
pub struct Actor {
    /// The tool.
    pub tool: Tool,
    /// The flags with which `mesh-skewcheck` gives this run's verdict; `None` if the run reads no
    /// verdict.
    pub question: Option<String>,
}
