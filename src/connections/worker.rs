//! Worker threads: each serves the connections that it is given, on a runtime of its own.

use std::{io, net::SocketAddr, pin::pin, rc::Rc, sync::Arc, thread, time::Duration};

use actix_http::{HttpService, KeepAlive, Request, Response, error::DispatchError};
use actix_service::{IntoServiceFactory, Service, ServiceFactory as _, ServiceFactoryExt, map_config};
use actix_web::{body::MessageBody, dev::AppConfig};
use arc_swap::ArcSwap;
use tokio::{
    net::TcpStream,
    runtime::{Builder, LocalOptions},
    select,
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    task::spawn_local,
    time::{Instant, sleep},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{either::Either, sync::CancellationToken, task::TaskTracker};

use super::{
    HttpApp, PreparedAnswers, Times, accept::Accepted, limiter::Permit, metrics::Reason,
    stream::ClientStream, time_limit::overdue,
};

/// What the HTTP library reads from and writes to.
type HttpStream = ClientStream<Either<TcpStream, TlsStream<TcpStream>>>;

/// What a worker must know of its listener.
#[derive(Clone)]
pub(super) struct WorkerSettings {
    pub(super) tls: Option<Arc<ArcSwap<rustls::ServerConfig>>>,
    pub(super) times: Times,
    pub(super) answers: PreparedAnswers,
    /// Cancelled when connections without a request are to end.
    pub(super) closing: CancellationToken,
    /// Cancelled when all connections are to end.
    pub(super) abort: CancellationToken,
}

/// A thread that serves connections. It ends when its queue is dropped and its connections have ended.
pub(super) struct Worker {
    pub(super) queue: Queue,
    pub(super) ended: Ended,
}

/// Connections on their way to a thread.
pub(super) struct Queue(UnboundedSender<Accepted>);

/// The end of a thread.
pub(super) struct Ended(oneshot::Receiver<io::Result<()>>);

impl Worker {
    /// Starts a thread.
    ///
    /// # Errors
    /// If the system has no thread.
    pub(super) fn start<A, I, S, B>(name: String, app: A, settings: WorkerSettings) -> io::Result<Self>
    where
        A: Fn() -> I + Send + 'static,
        I: IntoServiceFactory<S, Request>,
        S: HttpApp<B>,
        B: MessageBody + 'static,
    {
        let (queue, connections) = unbounded_channel();
        let ended = Ended::spawn(name, move || run(app, settings, connections))?;
        Ok(Self { queue: Queue(queue), ended })
    }
}

impl Queue {
    /// Gives a connection to the thread.
    ///
    /// # Errors
    /// If the thread has ended.
    pub(super) fn give(&self, accepted: Accepted) -> io::Result<()> {
        self.0.send(accepted).map_err(|_| io::Error::other("a worker thread has ended"))
    }
}

impl Ended {
    /// Starts a thread.
    ///
    /// # Errors
    /// If the system has no thread.
    pub(super) fn spawn(
        name: String,
        thread: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (report, ended) = oneshot::channel();
        thread::Builder::new().name(name).spawn(move || {
            // The receiver is gone if the service has failed to start, or has stopped without waiting.
            let _ = report.send(thread());
        })?;
        Ok(Self(ended))
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why the thread could not do its work.
    pub(super) async fn wait(self) -> io::Result<()> {
        self.0.await.unwrap_or_else(|_| Err(io::Error::other("a thread of a listener has panicked")))
    }
}

/// The thread.
fn run<A, I, S, B>(
    app: A,
    settings: WorkerSettings,
    mut connections: UnboundedReceiver<Accepted>,
) -> io::Result<()>
where
    A: Fn() -> I,
    I: IntoServiceFactory<S, Request>,
    S: HttpApp<B>,
    B: MessageBody + 'static,
{
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let app = app()
            .into_factory()
            .map_err(|error: actix_web::Error| -> Response<_> { error.error_response().into() });
        // The library's timers and its way to stop are off: `ClientStream` has them.
        let http = HttpService::<HttpStream, _, _>::build()
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(settings.times.disconnect)
            .h1(map_config(app, |()| AppConfig::default()));
        let service = http.new_service(()).await.map_err(|()| io::Error::other("the app cannot be built"))?;
        let (service, tasks) = (Rc::new(service), TaskTracker::new());
        // A token of its own: the threads need not share its lock.
        let settings = Rc::new(WorkerSettings { closing: settings.closing.child_token(), ..settings });
        while let Some(accepted) = connections.recv().await {
            let (service, settings) = (Rc::clone(&service), Rc::clone(&settings));
            spawn_local(tasks.track_future(async move {
                let Accepted { socket, peer, permit, at } = accepted;
                let permit = Rc::new(permit);
                let mut serving = pin!(async {
                    if let Some(stream) = connect(socket, at, &permit, &settings).await {
                        let ended = service.call((stream, Some(peer))).await;
                        log_malformed(ended, peer, &permit);
                    }
                });
                select! {
                    biased;
                    () = permit.gives_way() => permit.count(Reason::Silent),
                    () = &mut serving => {}
                }
            }));
        }
        tasks.close();
        select! {
            () = tasks.wait() => {}
            () = settings.abort.cancelled() => {}
        }
        Ok(())
    })
}

/// Logs the end of a connection whose client sent what is no HTTP/1.1. Other ends are the client's business, and what its
/// requests met is logged elsewhere.
fn log_malformed(ended: Result<(), DispatchError>, peer: SocketAddr, permit: &Permit) {
    if let Err(DispatchError::Parse(error)) = ended {
        let cause = permit.count_malformed(|| error.to_string());
        let client = peer.ip().to_canonical();
        tracing::info!(%client, cause, "request refused: it is no HTTP/1.1 (RFC 9112)");
    }
}

/// Returns a connection once its client has sent something, and the TLS handshake if there is one is done. Until then
/// it costs no more than its socket.
async fn connect(
    socket: std::net::TcpStream,
    accepted: Instant,
    permit: &Rc<Permit>,
    settings: &WorkerSettings,
) -> Option<HttpStream> {
    let times = settings.times;
    let socket = TcpStream::from_std(socket).ok()?;
    let (limit, reason) = match settings.tls {
        Some(_) => (times.handshake, Reason::HandshakeTimeout),
        None => (times.head, Reason::HeadTimeout),
    };
    select! {
        biased;
        readable = socket.readable() => readable.ok()?,
        () = overdue(accepted + limit) => {
            permit.count(reason);
            return None;
        }
        () = idle_when_closing(settings) => return None,
    }
    let io = match &settings.tls {
        Some(tls) => Either::Right(handshake(socket, tls.load_full(), permit, times.handshake).await?),
        None => Either::Left(socket),
    };
    let closing = settings.closing.clone().cancelled_owned();
    Some(ClientStream::new(io, Rc::clone(permit), times, settings.answers.clone(), closing))
}

async fn handshake(
    socket: TcpStream,
    tls: Arc<rustls::ServerConfig>,
    permit: &Permit,
    limit: Duration,
) -> Option<TlsStream<TcpStream>> {
    // Counted before the socket is closed.
    let mut accept = TlsAcceptor::from(tls).accept(socket);
    let reason = select! {
        biased;
        stream = &mut accept => match stream {
            Ok(stream) => return Some(stream),
            Err(_) => Reason::HandshakeFailed,
        },
        () = overdue(Instant::now() + limit) => Reason::HandshakeTimeout,
    };
    permit.count(reason);
    None
}

/// Returns once the service stops and a client has had time to send a request.
async fn idle_when_closing(settings: &WorkerSettings) {
    settings.closing.cancelled().await;
    sleep(settings.times.idle_when_closing).await;
}
