//! A relay before Redis that holds its answers back.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::Instant,
};

/// A relay whose delay can be changed while it runs.
#[derive(Debug)]
pub(crate) struct SlowRelay {
    /// Where the brokers connect to.
    address: SocketAddr,
    delay_ms: Arc<AtomicU64>,
}

impl SlowRelay {
    /// Starts it, without a delay.
    pub(crate) async fn start(redis_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let delay_ms = Arc::new(AtomicU64::new(0));
        let delay = Arc::clone(&delay_ms);
        tokio::spawn(async move {
            while let Ok((broker, _)) = listener.accept().await {
                let Ok(redis) = TcpStream::connect(("127.0.0.1", redis_port)).await else { continue };
                let ((from_broker, to_broker), (from_redis, to_redis)) =
                    (broker.into_split(), redis.into_split());
                tokio::spawn(relay(from_broker, to_redis, Arc::default()));
                tokio::spawn(relay(from_redis, to_broker, Arc::clone(&delay)));
            }
        });
        Self { address, delay_ms }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Each answer that comes from now on is sent on after so long.
    pub(crate) fn delay(&self, delay: Duration) {
        self.delay_ms.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

/// Sends on what comes, in its order, each part after the delay of when it came.
async fn relay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay_ms: Arc<AtomicU64>) {
    let (sender, mut parts) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let sending = async move {
        while let Some((due, part)) = parts.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&part).await.is_err() {
                return;
            }
        }
    };
    let receiving = async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let due = Instant::now() + Duration::from_millis(delay_ms.load(Ordering::Relaxed));
            if sender.send((due, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    };
    tokio::join!(sending, receiving);
}
