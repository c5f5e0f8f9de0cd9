use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_survey::main()
}
