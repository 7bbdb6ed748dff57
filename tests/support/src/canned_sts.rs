//! An STS that answers as a test says.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use runtime::clock::{Clock, SystemClock};
use serde_json::json;

/// How a [`CannedSts`] answers.
#[derive(Debug, Clone)]
pub enum Answers {
    /// A key that lives so many seconds.
    Key(i64),
    /// A key that lives half an hour, once [`CannedSts::release`] is called.
    WhenReleased,
    /// HTTP 200 with this body.
    Body(String),
    /// These bytes, whatever they are, and the end of the connection.
    Raw(Vec<u8>),
    /// The connection is reset.
    Reset,
    /// Nothing, for so long.
    Silence(Duration),
}

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// An STS that answers what it is told, and remembers what it was asked.
#[derive(Debug, Clone)]
pub struct CannedSts {
    pub address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
    calls: Arc<AtomicUsize>,
    recorded: Arc<Mutex<Vec<Recorded>>>,
    released: Arc<(Mutex<bool>, Condvar)>,
}

impl CannedSts {
    pub fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sts = Self {
            address: listener.local_addr().unwrap(),
            answers: Arc::new(Mutex::new(answers)),
            calls: Arc::default(),
            recorded: Arc::default(),
            released: Arc::default(),
        };
        let serving = sts.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                std::thread::spawn(move || serving.answer(stream));
            }
        });
        sts
    }

    pub fn answers(&self, answers: Answers) {
        *self.answers.lock().unwrap() = answers;
    }

    /// Lets the calls that wait for it be answered.
    pub fn release(&self) {
        let (released, changed) = &*self.released;
        *released.lock().unwrap() = true;
        changed.notify_all();
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn recorded(&self) -> Vec<Recorded> {
        self.recorded.lock().unwrap().clone()
    }

    fn answer(&self, mut stream: TcpStream) {
        let Some(request) = read_request(&mut stream) else {
            return;
        };
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        self.recorded.lock().unwrap().push(request);
        let answers = self.answers.lock().unwrap().clone();
        let body = match answers {
            Answers::Key(seconds) => key(call, seconds),
            Answers::WhenReleased => {
                let (released, changed) = &*self.released;
                drop(changed.wait_while(released.lock().unwrap(), |released| !*released).unwrap());
                key(call, 1800)
            }
            Answers::Body(body) => body,
            Answers::Raw(bytes) => {
                let _ = stream.write_all(&bytes);
                return;
            }
            Answers::Reset => {
                // Closing with unread data makes the kernel send a reset.
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le");
                let _ = stream.shutdown(std::net::Shutdown::Both);
                return;
            }
            Answers::Silence(long) => {
                std::thread::sleep(long);
                return;
            }
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(body.as_bytes());
    }
}

fn key(call: usize, seconds: i64) -> String {
    let expires = SystemClock::start().now().as_second() + seconds;
    json!({"Response": {
        "Credentials": {
            "Token": format!("token-canary-{call}"),
            "TmpSecretId": format!("AKIDtemporary{call}"),
            "TmpSecretKey": format!("temporary-key-canary-{call}"),
        },
        "ExpiredTime": expires,
        "Expiration": null,
        "RequestId": format!("request-{call}"),
    }})
    .to_string()
}

fn read_request(stream: &mut TcpStream) -> Option<Recorded> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let headers: Vec<(String, String)> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse::<usize>().ok()?;
        if body.len() >= length {
            return Some(Recorded { headers, body: body.to_owned() });
        }
    }
}
