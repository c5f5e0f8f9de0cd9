//! The stand-in for the `linkerd` CLI as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_testbed::linkerd_cli()
}
