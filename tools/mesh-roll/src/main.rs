use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_roll::main()
}
