//! A client's connection as the HTTP library reads it: heads are strict and arrive in time, and a connection without
//! a request ends when it is idle for too long or the service stops.
//!
//! Bytes that have arrived always count before time that has passed: a process that was suspended still serves the
//! requests that came meanwhile. (The library looks at its timers first, and at a clock that lags behind.)

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    PreparedAnswers, Times,
    limiter::Permit,
    metrics::Reason,
    strict::{MalformedAt, Place, Scanner},
    time_limit::OVERDUE_DELAY,
};

/// A byte that is an error wherever it stands in a head or between chunks: the library answers it with 400, after the
/// answers to earlier requests.
const INVALID_BYTE: u8 = 0;

/// A connection to a client.
pub(super) struct ClientStream<T> {
    io: T,
    permit: Rc<Permit>,
    scanner: Scanner,
    times: Times,
    /// What is sent if the first head does not arrive in time, or has a target that no URI is.
    answers: PreparedAnswers,
    /// When the connection was established, a head began, or an answer was sent.
    since: Instant,
    timer: Pin<Box<Sleep>>,
    /// When the connection ends if nothing arrives: its time has passed, but the socket may not have been looked at.
    overdue: Option<Instant>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    is_closing: bool,
    has_ended: bool,
}

impl<T> ClientStream<T> {
    pub(super) fn new(
        io: T,
        permit: Rc<Permit>,
        times: Times,
        answers: PreparedAnswers,
        closing: WaitForCancellationFutureOwned,
    ) -> Self {
        let since = Instant::now();
        Self {
            io,
            permit,
            scanner: Scanner::default(),
            times,
            answers,
            since,
            timer: Box::pin(sleep_until(since + times.head)),
            overdue: None,
            closing: Box::pin(closing),
            is_closing: false,
            has_ended: false,
        }
    }

    /// The time the client has for what comes next; none within a body, for which the handlers have a limit.
    fn time_limit(&self) -> Option<Duration> {
        match self.scanner.place() {
            Place::Body => None,
            Place::BetweenMessages if self.is_closing => Some(self.times.idle_when_closing),
            Place::BetweenMessages if self.scanner.heads() == 0 => Some(self.times.head),
            Place::BetweenMessages if self.permit.is_crowded() => Some(self.times.idle_when_crowded),
            Place::BetweenMessages => Some(self.times.idle),
            Place::Head => Some(self.times.head),
        }
    }

    /// Checks bytes that have arrived; from the first that is no HTTP on, they are replaced by an error.
    fn check(&mut self, buffer: &mut ReadBuf<'_>, start: usize) {
        let (was_at, heads) = (self.scanner.place(), self.scanner.heads());
        let arrived = buffer.filled().get(start..).unwrap_or_default();
        if let Err(MalformedAt(at)) = self.scanner.read(arrived) {
            self.has_ended = true;
            self.permit.count_malformed(|| self.scanner.fault().to_owned());
            buffer.set_filled(start + at);
            buffer.put_slice(&[INVALID_BYTE]);
        }
        if self.scanner.heads() > 0 {
            self.permit.serve();
        }
        // The time for a head begins with its first byte.
        if was_at != Place::Head || self.scanner.heads() > heads {
            self.since = Instant::now();
        }
    }
}

impl<T: AsyncWrite + Unpin> ClientStream<T> {
    /// Waits for the client's time to pass while nothing arrives, then ends the connection.
    fn poll_time(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.is_closing {
                self.is_closing = self.closing.as_mut().poll(context).is_ready();
            }
            let Some(limit) = self.time_limit() else { return Poll::Pending };
            let deadline = self.overdue.unwrap_or(self.since + limit);
            // A timer that rings early is set again: cheaper than setting it at each read.
            if deadline < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(deadline);
            }
            ready!(self.timer.as_mut().poll(context));
            let now = Instant::now();
            if now >= deadline {
                if self.overdue.is_some() {
                    return Poll::Ready(self.end(context));
                }
                self.overdue = Some(now + OVERDUE_DELAY);
            }
        }
    }

    /// Ends the connection with an answer if its first request has an unencoded target, which the library would
    /// answer with 400 and no word. Later ones the library answers, in their order.
    fn tell_unencoded_target(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if !self.scanner.has_unencoded_target() {
            return Ok(());
        }
        if self.scanner.heads() > 0 {
            return Ok(());
        }
        tracing::info!("request refused: {}", self.scanner.fault());
        let io = Pin::new(&mut self.io);
        if let Poll::Ready(Ok(_)) = io.poll_write(context, &self.answers.unencoded_target) {
            let _ = Pin::new(&mut self.io).poll_flush(context);
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    fn end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.has_ended = true;
        if self.scanner.place() == Place::BetweenMessages && (self.scanner.heads() > 0 || self.is_closing) {
            // The end of the client's requests: one that is being served is still answered.
            return Ok(());
        }
        self.permit.count(Reason::HeadTimeout);
        if self.scanner.heads() == 0 {
            // RFC 9110 §15.5.9. Best effort: the client does not keep to time either.
            let io = Pin::new(&mut self.io);
            if let Poll::Ready(Ok(_)) = io.poll_write(context, &self.answers.head_timeout) {
                let _ = Pin::new(&mut self.io).poll_flush(context);
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// How the HTTP library answers what is no request. No app's answer is empty.
const MALFORMED_START: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n";
const HEAD_TOO_LARGE_START: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n";
/// Where the status of an answer begins.
const STATUS_AT: usize = 9;

/// Returns what is sent instead of an answer that the HTTP library made by itself, with no word and without the headers of
/// every answer. Behind the answers to earlier requests it stays.
fn answer_instead<'a>(bytes: &[u8], answers: &'a PreparedAnswers) -> Option<&'a Bytes> {
    if bytes.get(STATUS_AT) != Some(&b'4') {
        return None;
    }
    if bytes.starts_with(MALFORMED_START) {
        return Some(&answers.malformed);
    }
    bytes.starts_with(HEAD_TOO_LARGE_START).then_some(&answers.head_too_large)
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &mut *self;
        if stream.has_ended {
            return Poll::Ready(Ok(()));
        }
        let start = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut stream.io).poll_read(context, buffer) {
            stream.overdue = None;
            if read.is_ok() && buffer.filled().len() > start {
                stream.check(buffer, start);
                stream.tell_unencoded_target(context)?;
            }
            return Poll::Ready(read);
        }
        stream.poll_time(context)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ClientStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match answer_instead(bytes, &self.answers) {
            None => ready!(Pin::new(&mut self.io).poll_write(context, bytes)),
            Some(answer) => {
                let answer = answer.clone();
                ready!(Pin::new(&mut self.io).poll_write(context, &answer)).map(|_| bytes.len())
            }
        };
        if self.scanner.place() == Place::BetweenMessages {
            // The connection is idle from the end of an answer on.
            self.since = Instant::now();
            self.overdue = None;
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use bytes::Bytes;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::advance,
    };
    use tokio_util::sync::CancellationToken;

    use super::{
        super::{limiter::Limiter, limits::Limits, metrics::Metrics},
        *,
    };

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const SECOND: Duration = Duration::from_secs(1);

    struct Connection {
        client: DuplexStream,
        server: ClientStream<DuplexStream>,
        closing: CancellationToken,
    }

    impl Connection {
        fn open() -> Self {
            Self::open_of(10)
        }

        fn open_of(total: usize) -> Self {
            let (client, io) = duplex(64 * 1024);
            let limits = Limits { total, per_client: 10 };
            let limiter = Limiter::new(limits, Vec::new(), Metrics::default());
            let permit = Rc::new(limiter.admit(IpAddr::from([127, 0, 0, 1]), Instant::now()).unwrap());
            let times = Times {
                handshake: SECOND,
                head: 10 * SECOND,
                idle: 60 * SECOND,
                idle_when_crowded: 2 * SECOND,
                idle_when_closing: SECOND / 4,
                disconnect: SECOND,
            };
            let closing = CancellationToken::new();
            let answers = PreparedAnswers {
                overloaded: Bytes::new(),
                head_timeout: Bytes::from_static(b"HTTP/1.1 408 late\r\n\r\n"),
                unencoded_target: Bytes::from_static(b"HTTP/1.1 400 unencoded\r\n\r\n"),
                malformed: Bytes::from_static(b"HTTP/1.1 400 malformed\r\n\r\n"),
                head_too_large: Bytes::from_static(b"HTTP/1.1 431 large\r\n\r\n"),
            };
            let server = ClientStream::new(io, permit, times, answers, closing.clone().cancelled_owned());
            Self { client, server, closing }
        }

        async fn sends(&mut self, bytes: &[u8]) {
            self.client.write_all(bytes).await.unwrap();
        }

        /// What the server reads next: bytes, the end, or an error.
        async fn read(&mut self) -> Result<Vec<u8>, io::ErrorKind> {
            let mut bytes = Vec::new();
            self.server.read_buf(&mut bytes).await.map_err(|error| error.kind())?;
            Ok(bytes)
        }

        fn reads_nothing_yet(&mut self) -> bool {
            futures::FutureExt::now_or_never(self.read()).is_none()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_arrive_in_time_gets_408() {
        let mut connection = Connection::open();
        connection.sends(b"GET / HT").await;
        assert_eq!(connection.read().await.unwrap(), b"GET / HT");
        let began = Instant::now();
        assert_eq!(connection.read().await, Err(io::ErrorKind::TimedOut));
        assert_eq!(began.elapsed().as_secs(), 10);
        drop(connection.server);
        let mut answer = String::new();
        connection.client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_of_a_head_that_come_one_by_one_give_no_more_time() {
        let mut connection = Connection::open();
        for byte in b"GET / HTTP/1.1\r\nhost: abcdefghijk" {
            connection.sends(&[*byte]).await;
            match connection.read().await {
                Ok(_) => advance(SECOND).await,
                Err(error) => return assert_eq!(error, io::ErrorKind::TimedOut),
            }
        }
        assert_eq!(connection.read().await, Err(io::ErrorKind::TimedOut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_came_while_the_process_was_suspended_is_read() {
        let mut connection = Connection::open();
        assert!(connection.reads_nothing_yet());
        connection.sends(HEAD).await;
        advance(90 * SECOND).await;
        assert_eq!(connection.read().await.unwrap(), HEAD);
        assert!(connection.reads_nothing_yet());
        connection.sends(HEAD).await;
        advance(900 * SECOND).await;
        assert_eq!(connection.read().await.unwrap(), HEAD, "kept alive");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_a_minute_after_the_last_answer() {
        let mut connection = Connection::open();
        connection.sends(HEAD).await;
        connection.read().await.unwrap();
        advance(30 * SECOND).await;
        connection.server.write_all(b"answer").await.unwrap();
        let answered = Instant::now();
        assert_eq!(connection.read().await.unwrap(), b"");
        assert_eq!(answered.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_makes_room_sooner_when_nearly_all_are_taken() {
        let mut connection = Connection::open_of(1);
        connection.sends(HEAD).await;
        connection.read().await.unwrap();
        let began = Instant::now();
        assert_eq!(connection.read().await.unwrap(), b"");
        assert_eq!(began.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_service_stops_an_idle_connection_may_send_one_more_request() {
        let mut connection = Connection::open();
        connection.sends(HEAD).await;
        connection.read().await.unwrap();
        connection.server.write_all(b"answer").await.unwrap();
        connection.closing.cancel();
        advance(SECOND / 5).await;
        assert!(connection.reads_nothing_yet());
        connection.sends(HEAD).await;
        assert_eq!(connection.read().await.unwrap(), HEAD);
        connection.server.write_all(b"answer").await.unwrap();
        let answered = Instant::now();
        assert_eq!(connection.read().await.unwrap(), b"");
        assert_eq!(answered.elapsed(), SECOND / 4 + OVERDUE_DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn the_library_reads_an_error_where_a_request_is_malformed() {
        let mut connection = Connection::open();
        connection.sends(b"GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n").await;
        assert_eq!(connection.read().await.unwrap(), b"GET / HTTP/1.1\r\na: b\0");
        assert_eq!(connection.read().await.unwrap(), b"", "nothing after it");
    }
}
