//! Facts about the process itself: its standard input, command line, host and run id.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{BufReader, IsTerminal as _, Stdin};

use mesh_records::{Explained, sayable_address};

const BUFFER: usize = 64 * 1024;

/// Opens standard input to read records.
///
/// # Errors
/// Standard input is a terminal; the hint then shows `pipeline`.
pub fn records_from_stdin(pipeline: &str) -> Result<BufReader<Stdin>, Explained> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let what = "no records to read: standard input is a terminal, not a pipe";
        return Err(Explained::new(what, format!("run {pipeline}")));
    }
    Ok(BufReader::with_capacity(BUFFER, stdin))
}

/// Returns the command line for a record. The values of flags that may carry a secret are left out.
pub fn argv() -> Vec<String> {
    redact(std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()))
}

/// Returns the name of the machine, or `localhost` if the name is unknown.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() {
        "localhost".to_owned()
    } else {
        name.trim().to_owned()
    }
}

/// Makes a name for this run that no other run has.
pub fn run_id() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

const SECRET: [&str; 6] = [
    "--set",
    "--set-string",
    "--set-file",
    "--token",
    "--password",
    "--key",
];

/// Returns the arguments of a command without what may be secret: values of flags that carry secrets,
/// and passwords in addresses.
pub fn redact(args: impl Iterator<Item = String>) -> Vec<String> {
    let mut value_is_secret = false;
    args.map(|arg| {
        if std::mem::take(&mut value_is_secret) {
            return "<redacted>".to_owned();
        }
        match arg.split_once('=') {
            Some((flag, _)) if SECRET.contains(&flag) => format!("{flag}=<redacted>"),
            Some(_) => sayable_address(&arg),
            None => {
                value_is_secret = SECRET.contains(&arg.as_str());
                sayable_address(&arg)
            }
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn argv_leaves_out_values_of_flags_that_may_carry_secrets() {
        let args = [
            "t",
            "--set",
            "a=b",
            "--set=c=d",
            "-f",
            "values.yaml",
            "--token",
            "x",
            "--yes",
        ];
        let expected = [
            "t",
            "--set",
            "<redacted>",
            "--set=<redacted>",
            "-f",
            "values.yaml",
            "--token",
            "<redacted>",
            "--yes",
        ];
        assert_eq!(redact(args.iter().map(ToString::to_string)), expected);
    }
}
