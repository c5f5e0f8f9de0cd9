//! The command that runs the same pipeline again.

use mesh_cluster::ClusterArgs;

use crate::actor::Actor;

/// Returns the pipeline with this run's arguments, quoted for a shell.
pub(crate) fn again(actor: &Actor, cluster: &ClusterArgs, argv: &[String]) -> String {
    let mut words = Vec::new();
    if let Some(question) = &actor.question {
        words.push("mesh-survey".to_owned());
        words.extend(cluster.flags().iter().map(|word| quoted(word)));
        if let Some(label) = &cluster.cluster_name {
            words.extend(["--cluster-name".to_owned(), quoted(label)]);
        }
        words.push(format!("| mesh-skewcheck {question} |"));
    }
    words.push(actor.tool.name().to_owned());
    // The digest is left out, because the next run makes another plan.
    let own = argv.iter().skip(1).filter(|arg| !arg.starts_with("--yes="));
    words.extend(own.map(|arg| quoted(arg)));
    words.join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
