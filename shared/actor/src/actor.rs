//! A tool that acts.

use mesh_records::Tool;

/// A tool that acts.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Its name.
    pub tool: Tool,
    /// The pipeline that ends in it.
    pub pipeline: &'static str,
    /// The flags of `mesh-skewcheck` that ask for its verdict; none where the run reads no verdict.
    pub question: Option<String>,
}
