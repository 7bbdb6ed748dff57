//! An STS that answers each call at once with another credential, which is also a collector that accepts every span.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use serde_json::json;

use crate::{BenchError, client::read_message, login::now};

/// The length of a real session token.
const SESSION_TOKEN_BYTES: usize = 1100;
/// Long enough that no credential is due for refresh during a run.
const CREDENTIAL_LIFETIME_SECONDS: u64 = 1800;

static CREDENTIALS: AtomicU64 = AtomicU64::new(0);

/// Starts it, and returns its address.
pub(crate) fn start() -> Result<String, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // It ends when the broker closes the connection.
            thread::spawn(move || drop(serve(stream)));
        }
    });
    Ok(address)
}

fn serve(stream: TcpStream) -> Result<(), BenchError> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while !stream.fill_buf()?.is_empty() {
        let called = read_message(&mut stream)?;
        let body = if called.first_line.contains("/v1/traces") { String::new() } else { credential()? };
        write!(stream.get_mut(), "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
    }
    Ok(())
}

fn credential() -> Result<String, BenchError> {
    let number = CREDENTIALS.fetch_add(1, Ordering::Relaxed);
    let token = format!("{number:016x}{}", "Zq7x".repeat(SESSION_TOKEN_BYTES / 4));
    Ok(json!({"Response": {
        "Credentials": {
            "TmpSecretId": format!("AKID{number:032x}{}", "s".repeat(28)),
            "TmpSecretKey": format!("{number:016x}{}", "k".repeat(28)),
            "Token": token.get(..SESSION_TOKEN_BYTES),
        },
        "ExpiredTime": now()? + CREDENTIAL_LIFETIME_SECONDS,
        "Expiration": "2026-01-01T00:00:00Z",
        "RequestId": format!("{number:08x}-1f2e-4d3c-8b4a-5968778695a4"),
    }})
    .to_string())
}
