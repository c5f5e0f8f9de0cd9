use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_cp_upgrade::main()
}
