//! The stand-in for a release's proxy injector as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_testbed::linkerd_injector()
}
