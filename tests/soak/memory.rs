//! The memory that the process takes, against what the configuration says.

use std::fs;

use runtime::clock::{Clock, SystemClock};

use crate::{
    client::{Connection, request_keys, token},
    support::{Setup, emulator, raise_open_file_limit, repository},
};

const MIB: u64 = 1 << 20;
const CLIENTS: usize = 32;
/// What is remembered of a user without a key: `src/app/memory.rs`, 64 MiB for 200,000.
const BYTES_PER_USER: u64 = 64 * MIB / 200_000;

fn with_max_mib(sts: std::net::SocketAddr, max_mib: u64) -> Setup {
    Setup::new(sts).with_section("cache", &format!("max_bytes = \"{max_mib}MiB\""))
}

/// Three times the users whose keys fit, with large and small policies.
#[test]
fn keys_take_the_memory_that_max_bytes_says() {
    const MAX_MIB: u64 = 64;
    let now = SystemClock::start().now().as_second();
    for (name, users) in [("files", 36_000), ("downloads", 36_000)] {
        let (address, _) = emulator();
        let mut setup = with_max_mib(address, MAX_MIB);
        let template = fs::read_to_string(repository("policies/downloads.toml")).unwrap();
        setup.templates.push(("downloads.toml".to_owned(), template));
        let broker = setup.start();
        let path = format!("/v1/credentials/{name}");
        request_keys(broker.public, &path, 0..200, now, CLIENTS);
        let before = broker.resident_bytes();
        let served = request_keys(broker.public, &path, 200..users, now, CLIENTS);
        let taken = broker.resident_bytes() - before;
        println!("{name}: {served} users took {} MiB of {MAX_MIB} MiB", taken / MIB);
        assert!(served > users * 9 / 10, "{served} of {users}");
        assert!(taken <= MAX_MIB * MIB * 6 / 5 + users * BYTES_PER_USER, "{name}: {} MiB", taken / MIB);
        assert!(
            taken >= MAX_MIB * MIB * 4 / 5,
            "{name}: {} MiB, so fewer keys are kept than fit",
            taken / MIB
        );
    }
}

/// The tokens of a user who logs in again and again, which no key belongs to.
#[test]
fn verified_tokens_take_no_more_than_their_share() {
    const MAX_MIB: u64 = 32;
    let now = SystemClock::start().now().as_second();
    let (address, sts) = emulator();
    let broker = with_max_mib(address, MAX_MIB).start();
    let mut connection = Connection::open(broker.public);
    let mut log_in = |logins: std::ops::Range<i64>| {
        for login in logins {
            assert_eq!(connection.get("/v1/credentials", &token(0, now - login)).status, 200);
        }
    };
    log_in(0..100);
    let before = broker.resident_bytes();
    log_in(100..20_000);
    let taken = broker.resident_bytes() - before;
    println!("20,000 tokens took {} KiB", taken >> 10);
    assert_eq!(sts.calls(), 1);
    // Three of 16 parts for tokens and rendered policies.
    assert!(taken <= MAX_MIB * MIB / 16 * 3 * 6 / 5, "{} KiB", taken >> 10);
}

#[test]
fn an_open_connection_takes_what_check_counts() {
    const CONNECTIONS: u64 = 4000;
    raise_open_file_limit();
    let now = SystemClock::start().now().as_second();
    let (address, _) = emulator();
    let setup = Setup::new(address).with_section("server", "max_connections_per_address = 8192");
    let broker = setup.start();
    let open = |connections: u64| -> Vec<Connection> {
        (0..connections)
            .map(|_| {
                let mut connection = Connection::open(broker.public);
                assert_eq!(connection.get("/v1/credentials", &token(0, now)).status, 200);
                connection
            })
            .collect()
    };
    let first = open(200);
    let before = broker.resident_bytes();
    let more = open(CONNECTIONS);
    let taken = (broker.resident_bytes() - before) / CONNECTIONS;
    println!("an open connection takes {taken} bytes");
    drop((first, more));
    assert!(taken <= 20 << 10, "{taken} bytes");
}

/// Many times the users whose keys fit come and go. After the first half, every table is as large as it gets.
#[test]
fn memory_is_flat_while_300_000_users_come_and_go() {
    const USERS: u64 = 300_000;
    const STEP: u64 = 20_000;
    const MAX_MIB: u64 = 64;
    let now = SystemClock::start().now().as_second();
    let (address, _) = emulator();
    let setup = with_max_mib(address, MAX_MIB).with_section("cache", "min_remaining = \"20s\"");
    let setup = setup.with("default = \"upload\"", "default = \"brief\"");
    let template = fs::read_to_string(repository("policies/upload.toml")).unwrap();
    let brief = template.replace("duration = \"30m\"", "duration = \"1m\"");
    assert_ne!(template, brief);
    let mut setup = setup;
    setup.templates = vec![("brief.toml".to_owned(), brief)];
    let broker = setup.start();
    let mut resident = vec![broker.resident_bytes()];
    for first in (0..USERS).step_by(usize::try_from(STEP).unwrap()) {
        request_keys(broker.public, "/v1/credentials", first..first + STEP, now, CLIENTS);
        resident.push(broker.resident_bytes());
        println!("{} users: {} MiB", first + STEP, resident.last().unwrap() / MIB);
    }
    let [.., warm, _, _, _, _, _, _, last] = resident.as_slice() else { unreachable!() };
    assert!(*last <= warm + warm / 20, "{} MiB, then {} MiB", warm / MIB, last / MIB);
}
