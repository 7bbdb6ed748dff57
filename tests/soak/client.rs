//! Many users of one broker, over connections that stay open.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};

use crate::support::{DEADLINE, token_of};

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

/// An answer to a request for a key.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Connection {
    pub(crate) fn open(public: SocketAddr) -> Self {
        let stream = TcpStream::connect(public).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// `GET` of a path with a bearer token.
    pub(crate) fn get(&mut self, path: &str, token: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {token}\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let status = self.line().split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = 0;
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        Answer { status, body: serde_json::from_slice(&body).unwrap() }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.stream.read_line(&mut line).unwrap() > 0, "the broker closed a connection in use");
        line.truncate(line.trim_end().len());
        line.make_ascii_lowercase();
        line
    }
}

/// The token of a user by number: the same each time, so that the broker verifies it once.
pub(crate) fn token(user: u64, issued_at: i64) -> String {
    token_of(&json!({"sub": format!("user-{user:08}"), "iat": issued_at, "exp": issued_at + 86_400}))
}

/// Has each of these users request a key once, over so many connections. Returns how many got one.
pub(crate) fn request_keys(
    public: SocketAddr,
    path: &str,
    users: std::ops::Range<u64>,
    issued_at: i64,
    connections: usize,
) -> u64 {
    let (next, served) = (AtomicU64::new(users.start), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut connection = Connection::open(public);
                loop {
                    let user = next.fetch_add(1, Ordering::Relaxed);
                    if user >= users.end {
                        break;
                    }
                    if connection.get(path, &token(user, issued_at)).status == 200 {
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    served.into_inner()
}
