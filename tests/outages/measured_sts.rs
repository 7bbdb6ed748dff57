//! The emulated STS behind a relay that notes when each call arrives.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::support::{Answer, emulator, inject_fault};

/// An STS that knows when it was called.
#[derive(Debug)]
pub(crate) struct MeasuredSts {
    /// Where the broker calls it.
    pub(crate) address: SocketAddr,
    cloud: SocketAddr,
    arrivals: Arc<Mutex<Vec<Instant>>>,
    http: reqwest::Client,
}

impl MeasuredSts {
    /// Starts it, with answers after so long.
    pub(crate) async fn start(latency: Duration) -> Self {
        let (cloud, _) = emulator();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let arrivals = Arc::default();
        run_on_own_thread(listener, cloud, Arc::clone(&arrivals));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let sts = Self { address, cloud, arrivals, http };
        if !latency.is_zero() {
            sts.fault(
                &json!({"on": "sts", "fault": "latency", "delay": format!("{}ms", latency.as_millis())}),
            )
            .await;
        }
        sts
    }

    /// Adds a fault.
    pub(crate) async fn fault(&self, fault: &Value) {
        inject_fault(self.cloud, fault).await;
    }

    /// Removes all faults.
    pub(crate) async fn clear_faults(&self) {
        let url = format!("http://{}/faults", self.cloud);
        assert_eq!(Answer::of(self.http.delete(url)).await.status, 204);
    }

    pub(crate) fn calls(&self) -> usize {
        self.arrivals.lock().unwrap().len()
    }

    /// The most calls that arrived in any one second, both ends included.
    pub(crate) fn most_in_a_second(&self) -> usize {
        let arrivals = self.arrivals.lock().unwrap();
        let in_a_second = |(index, start): (usize, &Instant)| {
            let rest = arrivals.iter().skip(index);
            rest.take_while(|at| at.duration_since(*start) <= Duration::from_secs(1)).count()
        };
        arrivals.iter().enumerate().map(in_a_second).max().unwrap_or_default()
    }
}

/// The users' tasks must not delay the relay, which would make calls arrive together that were not sent so.
fn run_on_own_thread(listener: std::net::TcpListener, cloud: SocketAddr, arrivals: Arc<Mutex<Vec<Instant>>>) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            listener.set_nonblocking(true).unwrap();
            relay(TcpListener::from_std(listener).unwrap(), cloud, arrivals).await;
        });
    });
}

async fn relay(listener: TcpListener, cloud: SocketAddr, arrivals: Arc<Mutex<Vec<Instant>>>) {
    while let Ok((client, _)) = listener.accept().await {
        let arrivals = Arc::clone(&arrivals);
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(cloud).await else { return };
            relay_connection(client, server, &arrivals).await;
        });
    }
}

/// Relays until either end closes; a reset by STS resets the broker's connection too.
async fn relay_connection(client: TcpStream, server: TcpStream, arrivals: &Mutex<Vec<Instant>>) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = relay_requests(from_client, to_server, arrivals) => {}
        () = relay_answers(from_server, to_client) => {}
    }
}

async fn relay_requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    arrivals: &Mutex<Vec<Instant>>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = client.read(&mut buffer).await {
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.starts_with(b"POST ") {
            arrivals.lock().unwrap().push(Instant::now());
        }
        if server.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn relay_answers(mut server: OwnedReadHalf, mut client: OwnedWriteHalf) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        match server.read(&mut buffer).await {
            Ok(0) => return,
            Ok(length) => {
                if client.write_all(buffer.get(..length).unwrap_or_default()).await.is_err() {
                    return;
                }
            }
            Err(_) => {
                // Reported by the kernel when the socket is closed: socket(7), SO_LINGER.
                let _ = SockRef::from(client.as_ref()).set_linger(Some(Duration::ZERO));
                return;
            }
        }
    }
}
