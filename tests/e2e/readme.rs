//! The README's commands, run from the top as a new user would.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use mesh_testbed::Bed;
use mesh_tests::toolbox;

const README: &str = include_str!("../../README.md");

/// The lines of the blocks that are marked as shell.
fn commands() -> Vec<&'static str> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in README.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside && !line.is_empty() => commands.push(line),
            _ => {}
        }
    }
    commands
}

/// Serves the files of a folder over HTTP on loopback, and returns the address.
fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that hangs up early is helm's own affair.
            drop(answer(stream, &folder));
        }
    });
    address
}

fn answer(mut stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let read = stream.read(&mut request)?;
    let request = String::from_utf8_lossy(&request[..read]).into_owned();
    let name = request
        .split(' ')
        .nth(1)
        .unwrap_or_default()
        .trim_start_matches('/');
    let (status, body) = match fs::read(folder.join(name)) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}

#[test]
fn the_readmes_commands_upgrade_a_mesh() {
    let tools = toolbox!();
    let Some(bed) = Bed::for_test() else { return };
    bed.install_linkerd("stable-2.13.7").unwrap();
    bed.shop().unwrap();
    tools.link("helm", bed.helm());
    let shell = |line: &str| -> Command {
        let mut command = tools.shell(line);
        command
            .current_dir(tools.folder())
            .env("KUBECONFIG", bed.kubeconfig());
        command
    };
    let charts = bed.charts("stable-2.14.10").unwrap();
    let repository = tools.folder().join("repository");
    fs::create_dir(&repository).unwrap();
    fs::copy(&charts.values, tools.folder().join("values.yaml")).unwrap();
    let url = serve(repository);
    let prepare = "helm package -d repository \"$CRDS\" \"$CHART\" && helm repo index repository \
                   && helm repo add linkerd \"$URL\"";
    let prepared = shell(prepare)
        .env("CRDS", &charts.crds)
        .env("CHART", &charts.control_plane)
        .env("URL", url)
        .output()
        .unwrap();
    assert!(
        prepared.status.success(),
        "{}",
        String::from_utf8_lossy(&prepared.stderr)
    );
    let commands = commands();
    assert!(
        commands.len() >= 6,
        "the README has lost its pipeline: {commands:?}"
    );
    for line in commands {
        let output = shell(line).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{line}\n{errors}\n{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
