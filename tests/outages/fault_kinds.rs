//! Every kind of fault, with cold, warm and expiring caches: who gets a key, who is refused, and whether any answer is
//! wrong or lost.

use futures::future::join_all;

use crate::{
    random_errors::fault,
    report::print,
    support::sandbox::Sandbox,
    user::{Answer, ask},
};

const USERS: usize = 40;
const KINDS: [&str; 6] = ["error", "html", "reset", "truncated", "throttle", "hang"];
/// The life of the sandbox's keys is half an hour.
const KEY_LIFETIME_SECONDS: i64 = 1800;

/// How the requests of one cell ended.
#[derive(Debug, Default)]
struct Cell {
    sent: usize,
    /// Answers with a key that was made by STS while it failed, or before.
    keys: usize,
    stale: usize,
    /// Refusals that say when to come back.
    refused: usize,
    /// Answers that no user may get: another's key, an expired or prolonged one, an unclear error.
    wrong: usize,
    lost: usize,
}

impl Cell {
    /// Counts an answer to this user, whose earlier key expires then.
    fn count(&mut self, answer: Option<&Answer>, user: usize, expires: Option<i64>) {
        self.sent += 1;
        let Some(answer) = answer else {
            self.lost += 1;
            return;
        };
        match answer.status {
            200 if is_right(answer, user, expires) => {
                self.keys += 1;
                self.stale += usize::from(answer.cache_status.contains("fwd=stale"));
            }
            503 if answer.retry_after.is_some() => self.refused += 1,
            _ => self.wrong += 1,
        }
    }

    fn print(&self, kind: &str, cache: &str) {
        let Self { sent, keys, stale, refused, wrong, lost } = self;
        print(&format!("| {kind} | {cache} | {sent} | {keys} | {stale} | {refused} | {wrong} | {lost} |"));
    }
}

fn expires_at(answer: &Answer) -> i64 {
    answer.body["expiredTime"].as_i64().unwrap_or_default()
}

/// Whether the key is this user's, active, and told with its true expiry.
fn is_right(answer: &Answer, user: usize, expires: Option<i64>) -> bool {
    let now = answer.body["serverTime"].as_i64().unwrap_or(i64::MAX);
    answer.body["prefix"] == format!("users/user{user}/")
        && expires_at(answer) > now
        && (!answer.cache_status.contains("fwd=stale") || expires.is_none_or(|at| at == expires_at(answer)))
}

async fn tokens(sandbox: &Sandbox) -> Vec<String> {
    join_all((0..USERS).map(async |user| sandbox.token(&format!("user{user}")).await)).await
}

async fn ask_all(sandbox: &Sandbox) -> Vec<Option<Answer>> {
    let tokens = tokens(sandbox).await;
    join_all(tokens.iter().map(|token| ask(sandbox.broker, token))).await
}

async fn cold(kind: &str) -> Cell {
    let sandbox = Sandbox::start();
    sandbox.fault(fault(kind, 1.0)).await;
    let mut cell = Cell::default();
    for _ in 0..3 {
        for (user, answer) in ask_all(&sandbox).await.iter().enumerate() {
            cell.count(answer.as_ref(), user, None);
        }
    }
    cell
}

/// Users with new keys, and when these expire.
async fn warmed(sandbox: &Sandbox) -> Vec<i64> {
    let answers = ask_all(sandbox).await;
    answers.iter().map(|answer| expires_at(answer.as_ref().unwrap())).collect()
}

/// Asks at these ages of the keys, in seconds.
async fn ask_at(sandbox: &Sandbox, ages: &[i64], expires: &[i64]) -> Cell {
    let mut cell = Cell::default();
    for age in ages {
        assert_eq!(sandbox.put_clock(&format!("{age}s")).await.status, 200);
        for (user, answer) in ask_all(sandbox).await.iter().enumerate() {
            cell.count(answer.as_ref(), user, expires.get(user).copied());
        }
    }
    cell
}

/// STS fails from the key's first second to nearly its last.
async fn warm(kind: &str) -> Cell {
    let sandbox = Sandbox::start();
    let expires = warmed(&sandbox).await;
    sandbox.fault(fault(kind, 1.0)).await;
    let ages = [1, 300, 600, 900, 1200, 1320, 1440, 1495, 1505, 1560, 1620, 1680, 1730];
    ask_at(&sandbox, &ages, &expires).await
}

/// The last minute of a key's life.
async fn expiring(kind: &str) -> Cell {
    let sandbox = Sandbox::start();
    let expires = warmed(&sandbox).await;
    sandbox.fault(fault(kind, 1.0)).await;
    ask_at(
        &sandbox,
        &[KEY_LIFETIME_SECONDS - 55, KEY_LIFETIME_SECONDS - 45, KEY_LIFETIME_SECONDS - 35],
        &expires,
    )
    .await
}

/// After it.
async fn expired(kind: &str) -> Cell {
    let sandbox = Sandbox::start();
    let expires = warmed(&sandbox).await;
    sandbox.fault(fault(kind, 1.0)).await;
    ask_at(&sandbox, &[KEY_LIFETIME_SECONDS + 1], &expires).await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_every_call_fails_all_active_keys_are_served_and_everybody_else_is_told_when_to_come_back() {
    print(
        "| every call of STS | cache | requests | keys | of them stale | refused, told when | wrong | lost |",
    );
    let mut misses = Vec::new();
    for kind in KINDS {
        let (cold, warm) = tokio::join!(cold(kind), warm(kind));
        let (expiring, expired) = tokio::join!(expiring(kind), expired(kind));
        for (name, cell) in
            [("cold", &cold), ("warm", &warm), ("last minute", &expiring), ("expired", &expired)]
        {
            cell.print(kind, name);
            if cell.wrong + cell.lost > 0 {
                misses.push((kind, name));
            }
        }
        if warm.keys < warm.sent || expiring.stale < expiring.sent || expired.keys + cold.keys > 0 {
            misses.push((kind, "keys"));
        }
    }
    assert!(misses.is_empty(), "missed: {misses:?}");
}
