//! The test bed as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_testbed::main()
}
