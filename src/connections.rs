//! The connections of a listener: how many are taken and from whom, TLS handshakes, strict request heads, the times
//! within which a client must act, and the stop.
//!
//! Knows nothing of requests: the app that serves them and the prepared answers to connections that are not served
//! come from the caller. Written by hand in place of `actix_web::HttpServer`, which stops to accept at its limits
//! instead of refusing, lets silent TLS clients take the places of others, and drops accepted connections when it stops.

mod accept;
mod descriptors;
mod limiter;
mod limits;
mod metrics;
mod refuse;
mod stream;
mod strict;
mod time_limit;
mod worker;

use std::{
    fmt,
    io::{self, PipeReader},
    net::TcpListener,
    num::NonZero,
    pin::pin,
    sync::Arc,
    thread,
    time::Duration,
};

use actix_http::Request;
use actix_service::{IntoServiceFactory, ServiceFactory};
use actix_web::{
    body::MessageBody,
    dev::{AppConfig, ServiceResponse},
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use ipnet::IpNet;
use prometheus_client::registry::Registry;
use tokio::{runtime::Handle, select, time::sleep};
use tokio_util::sync::CancellationToken;

use self::{
    accept::Acceptor,
    limiter::Limiter,
    limits::Limits,
    metrics::Metrics,
    refuse::Refuser,
    worker::{Ended, Queue, Worker, WorkerSettings},
};
pub(crate) use self::{descriptors::raise_open_file_limit, limits::Client, time_limit::overdue};

/// The time that an idle connection is kept open for a next request.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);
/// The same while nearly as many connections are open as there may be, so that new ones find a place.
const IDLE_TIMEOUT_WHEN_CROWDED: Duration = Duration::from_secs(2);
/// The time in which the head of a request must arrive (RFC 9110 §15.5.9).
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection may still send a request when the service stops: the client may have sent it before it
/// could know.
const IDLE_TIMEOUT_WHEN_CLOSING: Duration = Duration::from_millis(250);
/// How long a client whose body was not read may take to read the answer and close.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The times within which a client must act.
#[derive(Debug, Clone, Copy)]
struct Times {
    handshake: Duration,
    head: Duration,
    idle: Duration,
    idle_when_crowded: Duration,
    idle_when_closing: Duration,
    disconnect: Duration,
}

/// The settings of a listener.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Names its threads.
    pub(crate) name: &'static str,
    /// Threads; one for each core if absent.
    pub(crate) workers: Option<usize>,
    /// Connections that may be open.
    pub(crate) max_connections: usize,
    /// Connections that one client may have open.
    pub(crate) max_connections_per_address: usize,
    /// Clients to which that limit does not apply.
    pub(crate) exempt: Vec<IpNet>,
    /// The TLS configuration of new connections, which may be exchanged; plain HTTP if absent.
    pub(crate) tls: Option<Arc<ArcSwap<rustls::ServerConfig>>>,
    /// The time in which a TLS handshake must be done.
    pub(crate) handshake_timeout: Duration,
    /// How long running requests may take once the listener closes.
    pub(crate) shutdown_timeout: Duration,
    /// What is sent where no app answers.
    pub(crate) answers: PreparedAnswers,
}

/// Complete HTTP responses for connections that no app serves.
#[derive(Debug, Clone)]
pub(crate) struct PreparedAnswers {
    /// To a connection above the limits.
    pub(crate) overloaded: Bytes,
    /// To a client whose first head did not arrive in time.
    pub(crate) head_timeout: Bytes,
    /// To a client whose first request has a target with characters that must be percent-encoded.
    pub(crate) unencoded_target: Bytes,
    /// To a client whose request is no HTTP/1.1.
    pub(crate) malformed: Bytes,
    /// To a client whose head is larger than the HTTP library reads.
    pub(crate) head_too_large: Bytes,
}

/// An app of actix-web with responses of type `B`.
pub(crate) trait HttpApp<B>:
    ServiceFactory<
        Request,
        Config = AppConfig,
        Response = ServiceResponse<B>,
        Error = actix_web::Error,
        InitError = (),
    > + 'static
{
}

impl<S, B> HttpApp<B> for S where
    S: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse<B>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static
{
}

/// A listener that is ready to serve.
pub(crate) struct Server {
    limiter: Limiter,
    metrics: Metrics,
    running: BoxFuture<'static, io::Result<()>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

impl Server {
    /// Prepares to serve `app` on a socket until `closing` is cancelled. Nothing is accepted before [`Server::run`].
    pub(crate) fn new<A, I, S, B>(
        socket: TcpListener,
        settings: Settings,
        closing: CancellationToken,
        app: A,
    ) -> Self
    where
        A: Fn() -> I + Clone + Send + Sync + 'static,
        I: IntoServiceFactory<S, Request> + 'static,
        S: HttpApp<B>,
        B: MessageBody + 'static,
    {
        let metrics = Metrics::default();
        let limits =
            Limits { total: settings.max_connections, per_client: settings.max_connections_per_address };
        let limiter = Limiter::new(limits, settings.exempt.clone(), metrics.clone());
        let running = Box::pin(run(socket, settings, limiter.clone(), closing, app));
        Self { limiter, metrics, running }
    }

    /// Registers the metrics of this listener.
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.metrics.register(self.limiter.clone(), registry);
    }

    /// Serves until the listener is closed and its connections have ended, or `shutdown_timeout` has passed since.
    ///
    /// # Errors
    /// If the socket or a thread cannot be used.
    pub(crate) async fn run(self) -> io::Result<()> {
        self.running.await
    }
}

async fn run<A, I, S, B>(
    socket: TcpListener,
    settings: Settings,
    limiter: Limiter,
    closing: CancellationToken,
    app: A,
) -> io::Result<()>
where
    A: Fn() -> I + Clone + Send + 'static,
    I: IntoServiceFactory<S, Request>,
    S: HttpApp<B>,
    B: MessageBody + 'static,
{
    let abort = CancellationToken::new();
    let worker_settings = WorkerSettings {
        times: Times {
            handshake: settings.handshake_timeout,
            head: HEAD_TIMEOUT,
            idle: IDLE_TIMEOUT,
            idle_when_crowded: IDLE_TIMEOUT_WHEN_CROWDED,
            idle_when_closing: IDLE_TIMEOUT_WHEN_CLOSING,
            disconnect: DISCONNECT_TIMEOUT,
        },
        answers: settings.answers,
        closing: closing.clone(),
        abort: abort.clone(),
        tls: settings.tls,
    };
    let count =
        settings.workers.or_else(|| thread::available_parallelism().ok().map(NonZero::get)).unwrap_or(1);
    let workers = (0..count)
        .map(|index| {
            Worker::start(format!("{} {index}", settings.name), app.clone(), worker_settings.clone())
        })
        .collect::<io::Result<Vec<_>>>()?;
    let overloaded = worker_settings.tls.is_none().then(|| worker_settings.answers.overloaded.clone());
    let acceptor = Acceptor::new(socket, limiter, Refuser::new(overloaded, Handle::current()))?;
    let (queues, ended): (Vec<Queue>, Vec<Ended>) =
        workers.into_iter().map(|Worker { queue, ended }| (queue, ended)).unzip();
    let (open, close) = io::pipe()?;
    let accepting =
        Ended::spawn(format!("{} accept", settings.name), move || accept(acceptor, &open, &queues))?;
    let mut accepting = pin!(accepting.wait());
    let accepted = select! {
        failed = &mut accepting => failed,
        () = closing.cancelled() => {
            drop(close);
            accepting.await
        }
    };
    select! {
        ended = join_all(ended.into_iter().map(Ended::wait)) => accepted.and(ended.into_iter().collect()),
        () = sleep(settings.shutdown_timeout) => {
            let listener = settings.name;
            tracing::warn!(listener, "connections with running requests are cut at the end of server.shutdown_timeout");
            abort.cancel();
            accepted
        }
    }
}

/// The thread that accepts connections and gives them to the workers in turn.
fn accept(acceptor: Acceptor, open: &PipeReader, queues: &[Queue]) -> io::Result<()> {
    let mut turns = queues.iter().cycle();
    acceptor.run(open, |accepted| {
        turns.next().ok_or_else(|| io::Error::other("there is no worker"))?.give(accepted)
    })
}
