//! Serves files over HTTP like a chart repository.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

/// Serves the files of a folder on loopback until the test's process ends, and returns the address.
///
/// # Panics
/// If no port is free.
#[must_use]
pub fn serve(folder: &Path) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let folder = PathBuf::from(folder);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client may close the connection early; that is no failure here.
            drop(answer(&stream, &folder));
        }
    });
    format!("http://{address}")
}

fn answer(mut stream: &TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut request = BufReader::new(stream).lines();
    let first = request.next().transpose()?.unwrap_or_default();
    // Reads the rest of the head, because otherwise the client may see a connection reset.
    while request
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let name = first.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match fs::read(folder.join(name.trim_start_matches('/'))) {
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
