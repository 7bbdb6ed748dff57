//! Many users who come back every half a minute, while STS throttles and recovers: nobody is refused for the turns of
//! users who do not come back when they were told to.

use std::{
    cell::{Cell, RefCell},
    num::NonZeroU32,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::LocalSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    machine::{SeededEntropy, SimulatedClock},
    world::{TIMEOUT, credential_cache, grants_of},
};
use crate::{
    credential_cache::CredentialCache,
    request::RequestContext,
    sts::simulated::{Faults, SimulatedSts},
};
use runtime::entropy::Entropy;
use templates::Grant;

const CALLS_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(119);
const REQUEST_INTERVAL: Duration = Duration::from_millis(5);
const PRESENT_USERS: usize = 6_000;
/// As many leave.
const NEW_USERS_PER_SECOND: usize = 24;
/// Requests that wait at once. The next one is sent when there are fewer.
const CONNECTIONS: usize = 64;
/// Everybody has a key long before.
const THROTTLED_FROM: Duration = Duration::from_secs(95);
const THROTTLED_FOR: Duration = Duration::from_secs(10);
/// The rate has doubled three times.
const RECOVERED_FROM: Duration = Duration::from_secs(125);
/// Those who were refused have come again.
const LENGTH: Duration = Duration::from_secs(150);

/// The users' requests, one after the other.
struct Users {
    cache: CredentialCache,
    grants: Vec<Arc<Grant>>,
    began: Instant,
    sent: Cell<usize>,
    next_request_at: Cell<Instant>,
    /// When requests were refused.
    refused: RefCell<Vec<Duration>>,
}

impl Users {
    /// All present users take turns.
    fn next_grant(&self) -> &Arc<Grant> {
        let first_present = usize::try_from(self.began.elapsed().as_secs()).unwrap() * NEW_USERS_PER_SECOND;
        let sent = self.sent.get();
        self.sent.set(sent + 1);
        &self.grants[first_present + sent % PRESENT_USERS]
    }

    /// Sends the requests of one connection.
    async fn send_requests(self: Rc<Self>) {
        while self.began.elapsed() < LENGTH {
            let send_at = self.next_request_at.get().max(Instant::now());
            self.next_request_at.set(send_at + REQUEST_INTERVAL);
            let grant = self.next_grant();
            sleep_until(send_at).await;
            let answer = self.cache.credential_for(grant, None, &RequestContext::for_tests(0)).await;
            if answer.is_err() {
                self.refused.borrow_mut().push(self.began.elapsed());
            }
        }
    }
}

/// The shipped template `downloads`, with keys of three minutes.
fn grants() -> Vec<Arc<Grant>> {
    let dir = tempfile::tempdir().unwrap();
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/downloads.toml");
    let text = std::fs::read_to_string(shipped).unwrap().replace("\"1h\"", "\"180s\"");
    std::fs::write(dir.path().join("downloads.toml"), text).unwrap();
    let users = PRESENT_USERS + NEW_USERS_PER_SECOND * usize::try_from(LENGTH.as_secs()).unwrap();
    grants_of(dir.path(), "downloads", users).collect()
}

#[test]
fn nobody_is_refused_for_turns_of_users_who_do_not_come_back_after_throttling() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let refused = runtime.block_on(async {
        let clock = Arc::new(SimulatedClock::start());
        let cloud = SimulatedSts::new(1, Arc::clone(&clock) as Arc<_>);
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(2));
        let sts = Arc::new(cloud.client(CALLS_PER_SECOND, TIMEOUT, Arc::clone(&entropy)));
        let users = Rc::new(Users {
            cache: credential_cache(sts, &clock, &entropy),
            grants: grants(),
            began: Instant::now(),
            sent: Cell::new(0),
            next_request_at: Cell::new(Instant::now()),
            refused: RefCell::default(),
        });
        let local = LocalSet::new();
        for _ in 0..CONNECTIONS {
            local.spawn_local(Rc::clone(&users).send_requests());
        }
        local.spawn_local(async move {
            sleep(THROTTLED_FROM).await;
            cloud.set_faults(Faults { throttled: 0.5, ..Faults::NONE });
            sleep(THROTTLED_FOR).await;
            cloud.set_faults(Faults::NONE);
        });
        local.await;
        users.refused.take()
    });
    assert!(
        refused.iter().any(|at| (THROTTLED_FROM..THROTTLED_FROM + THROTTLED_FOR).contains(at)),
        "some were told to come back"
    );
    let late: Vec<_> = refused.iter().filter(|at| **at > RECOVERED_FROM).collect();
    assert!(late.is_empty(), "{} refused with calls at the full rate, at {late:?}", late.len());
}
