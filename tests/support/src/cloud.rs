//! The emulated cloud, in the test's own process.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use cloud_emulator::{
    Account, CloudEmulator, EmulatorConfig, MovableClock, SessionKey, Storage, StsEmulator, Weakness,
};
use runtime::{
    clock::SystemClock,
    entropy::{Entropy, SystemEntropy},
};
use serde_json::Value;

use crate::{Answer, SECRET_ID, SECRET_KEY, http_client};

/// A cloud with the operator's account.
pub fn cloud(issuer: &str, clock: &Arc<MovableClock>) -> CloudEmulator {
    cloud_with(issuer, clock, None)
}

fn cloud_with(issuer: &str, clock: &Arc<MovableClock>, weakness: Option<Weakness>) -> CloudEmulator {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let config = EmulatorConfig {
        issuer_url: issuer.to_owned(),
        audience: "app".to_owned(),
        account: Account { secret_id: SECRET_ID.to_owned(), secret_key: SECRET_KEY.to_owned() },
        session_key: SessionKey::new([7; 32]),
        storage: Storage::in_memory(1 << 20),
        default_region: "ap-guangzhou".to_owned(),
        weakness,
    };
    CloudEmulator::new(config, clock, &entropy).unwrap()
}

/// The strict emulator, for as long as the test process lives.
pub fn emulator() -> (SocketAddr, Arc<StsEmulator>) {
    emulator_with(None)
}

/// The emulator, whose COS makes a mistake.
pub fn emulator_with(weakness: Option<Weakness>) -> (SocketAddr, Arc<StsEmulator>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let clock = Arc::new(MovableClock::new(Arc::new(SystemClock::start())));
    let cloud = cloud_with("http://issuer.test/", &clock, weakness);
    let sts = Arc::clone(cloud.sts());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            cloud.serve(listener).unwrap().await.unwrap();
        });
    });
    (address, sts)
}

/// Adds a fault to the emulator at this address.
pub async fn inject_fault(cloud: SocketAddr, fault: &Value) {
    let http = http_client();
    let answer = Answer::of(http.post(format!("http://{cloud}/faults")).body(fault.to_string())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}
