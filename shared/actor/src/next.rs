//! The command that runs the same pipeline again.

use mesh_cluster::ClusterArgs;
use mesh_records::command;

use crate::actor::Actor;

/// Returns the pipeline with this run's arguments, quoted for a shell.
pub(crate) fn again(actor: &Actor, cluster: &ClusterArgs, argv: &[String]) -> String {
    let mut words = Vec::new();
    if let Some(question) = &actor.question {
        words.push(cluster.paste().mesh("mesh-survey", &[]));
        words.push(format!("| mesh-skewcheck {question} |"));
    }
    let mut own = vec![actor.tool.name().to_owned()];
    // The digest is left out, because the next run makes another plan.
    let args = argv.iter().skip(1).filter(|arg| !arg.starts_with("--yes="));
    own.extend(args.cloned());
    words.push(command(&own));
    words.join(" ")
}
