//! Clients over connections that stay open.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::BenchError;

/// How long an answer may take under the slowest tool.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// A connection.
pub(crate) type Connection = BufReader<TcpStream>;

/// A request or an answer.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) first_line: String,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn connect(address: &str) -> Result<Connection, BenchError> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(BufReader::new(stream))
}

/// The request of a user with this token; `headers` are whole lines.
pub(crate) fn request(token: &str, headers: &str) -> String {
    format!(
        "GET /v1/credentials HTTP/1.1\r\nhost: broker.test\r\nauthorization: Bearer {token}\r\n{headers}\r\n"
    )
}

/// Sends a request, and reads its answer.
///
/// # Errors
/// If the answer is not 200.
pub(crate) fn ask(connection: &mut Connection, request: &str) -> Result<Message, BenchError> {
    connection.get_mut().write_all(request.as_bytes())?;
    answer(connection)
}

/// `GET` without a token, over a connection of its own.
pub(crate) fn fetch(address: &str, path: &str) -> Result<Message, BenchError> {
    let mut connection = connect(address)?;
    ask(&mut connection, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"))
}

/// Sends requests on all connections for some time, and returns how many were answered.
pub(crate) fn ask_for(
    connections: &mut [Connection],
    request: &str,
    during: Duration,
) -> Result<u32, BenchError> {
    let (began, mut answered) = (Instant::now(), 0);
    while began.elapsed() < during {
        for connection in &mut *connections {
            connection.get_mut().write_all(request.as_bytes())?;
        }
        for connection in &mut *connections {
            answer(connection)?;
            answered += 1;
        }
    }
    Ok(answered)
}

/// Reads the answer to a request.
pub(crate) fn answer(connection: &mut Connection) -> Result<Message, BenchError> {
    let answer = read_message(connection)?;
    if answer.first_line.starts_with("HTTP/1.1 200") {
        Ok(answer)
    } else {
        Err(format!("the answer is {}{}", answer.first_line, String::from_utf8_lossy(&answer.body)).into())
    }
}

/// Reads a message.
pub(crate) fn read_message(from: &mut impl BufRead) -> Result<Message, BenchError> {
    let (mut first_line, mut line, mut length) = (String::new(), String::new(), 0);
    from.read_line(&mut first_line)?;
    while from.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
        line.clear();
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Message { first_line, body })
}
