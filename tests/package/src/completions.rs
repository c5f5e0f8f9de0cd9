//! Completions for bash, zsh and fish. They complete `--context` with the contexts of the kubeconfig,
//! which kubectl lists; without kubectl nothing is offered there.

use anyhow::{Context as _, Result, ensure};
use clap::Command;
use clap_complete::{Shell, generate};

/// A place of a completion script where a value of `--context` is completed.
#[derive(Debug)]
struct Place {
    /// What clap_complete writes.
    before: &'static str,
    /// What completes a context.
    after: &'static str,
    /// Lists the contexts of the kubeconfig that the command line or the environment names.
    lists: &'static str,
}

const BASH: Place = Place {
    before: "--context)\n                    COMPREPLY=($(compgen -f \"${cur}\"))",
    after: "--context)\n                    COMPREPLY=($(compgen -W \"$(_mesh_contexts)\" -- \"${cur}\"))",
    lists: r#"_mesh_contexts() {
    local at from=()
    for ((at = 1; at < ${#COMP_WORDS[@]} - 2; at++)); do
        if [[ "${COMP_WORDS[at]}" == --kubeconfig ]]; then
            # `--kubeconfig=FILE` is three words here.
            [[ "${COMP_WORDS[at + 1]}" == = ]] && ((at++))
            from=(--kubeconfig "${COMP_WORDS[at + 1]}")
        fi
    done
    kubectl config get-contexts -o name "${from[@]}" 2>/dev/null
}
"#,
};

const ZSH: Place = Place {
    before: "--context=[The context of the kubeconfig]:NAME:_default",
    after: "--context=[The context of the kubeconfig]:NAME:_mesh_contexts",
    lists: r#"_mesh_contexts() {
    local -a from contexts
    [[ -n "${opt_args[--kubeconfig]}" ]] && from=(--kubeconfig "${(Q)opt_args[--kubeconfig]}")
    contexts=(${(f)"$(kubectl config get-contexts -o name $from 2>/dev/null)"})
    compadd -a contexts
}
"#,
};

const FISH: Place = Place {
    before: "-l context -d 'The context of the kubeconfig' -r",
    after: "-l context -d 'The context of the kubeconfig' -r -f -a \"(__mesh_contexts)\"",
    lists: r"function __mesh_contexts
    set -l words (commandline -opc)
    set -l from
    for at in (seq (count $words))
        switch $words[$at]
            case --kubeconfig
                set from --kubeconfig $words[(math $at + 1)]
            case '--kubeconfig=*'
                set from $words[$at]
        end
    end
    kubectl config get-contexts -o name $from 2>/dev/null
end
",
};

/// A shell for which there are completions.
#[derive(Debug)]
pub struct Completions {
    /// The shell.
    pub shell: Shell,
    /// The folder of its scripts, below `share`.
    pub folder: &'static str,
    /// What stands before and after the tool's name in the name of the file.
    pub file: (&'static str, &'static str),
    place: Place,
}

/// The shells, where each looks for the scripts of programs.
pub const SHELLS: [Completions; 3] = [
    Completions {
        shell: Shell::Bash,
        folder: "bash-completion/completions",
        file: ("", ""),
        place: BASH,
    },
    Completions {
        shell: Shell::Zsh,
        folder: "zsh/site-functions",
        file: ("_", ""),
        place: ZSH,
    },
    Completions {
        shell: Shell::Fish,
        folder: "fish/vendor_completions.d",
        file: ("", ".fish"),
        place: FISH,
    },
];

impl Completions {
    /// Returns the script for a tool.
    ///
    /// # Errors
    /// clap_complete writes what completes `--context` in a form that is not known here.
    pub fn script(&self, mut command: Command) -> Result<String> {
        let Self { shell, place, .. } = self;
        let name = command.get_name().to_owned();
        let has_context = command.get_arguments().any(|it| it.get_id() == "context");
        let mut script = Vec::new();
        generate(*shell, &mut command, &name, &mut script);
        let script = String::from_utf8(script).context("clap_complete writes text")?;
        if !has_context {
            return Ok(script);
        }
        let found = script.matches(place.before).count();
        ensure!(
            found == 1,
            "{shell}: {found} places of {name} complete --context, not 1: {}",
            place.before
        );
        let script = script.replace(place.before, place.after);
        // zsh takes the first line for the name of the command.
        let (first, rest) = script.split_once('\n').unwrap_or((&script, ""));
        Ok(match first.starts_with("#compdef") {
            true => format!("{first}\n\n{}{rest}", place.lists),
            false => format!("{}\n{script}", place.lists),
        })
    }
}
