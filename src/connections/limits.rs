//! How many connections are open, in total and for each client, and which one gives way to a new one.
//!
//! A connection waits until its first request has arrived whole. One that waits gives way when there are too many: of
//! the same client if that client has too many, else the oldest of all, clients that were never served first. So silent
//! connections take the places of silent connections, and never that of a client that talks. One that is too young to
//! be called silent does not give way: the new one is refused. Pure: no clock, no socket.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections that may be open above the limit because those that give way for them are not closed yet.
pub(super) const MAX_CLOSING_CONNECTIONS: usize = 16;
/// The time in which a request is expected, and a connection does not give way: two round trips, TLS included, to a phone.
const MIN_SILENT_AGE: Duration = Duration::from_millis(250);
/// Clients that are remembered as served before.
const MAX_REMEMBERED_CLIENTS: usize = 20_000;

/// The limits of a listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) total: usize,
    pub(super) per_client: usize,
}

/// Who has a connection: an IPv4 address, or a network of IPv6, of which one subscriber has all addresses
/// (RFC 6177 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client(IpAddr);

/// Bits of an IPv6 address within a subscriber's network.
const IPV6_HOST_BITS: u32 = 64;

impl Client {
    pub(crate) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() >> IPV6_HOST_BITS << IPV6_HOST_BITS).into()
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// Why a new connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Total,
    Client,
}

/// The open connections of a listener.
#[derive(Debug)]
pub(super) struct Table {
    limits: Limits,
    next_id: u64,
    /// Of every connection, whether or not it was told to close.
    open: Arc<AtomicUsize>,
    entries: HashMap<u64, Entry>,
    clients: HashMap<Client, ClientEntry>,
    /// Whether the client was served before, then the age.
    waiting: BTreeSet<(bool, u64)>,
    remembered: Remembered,
}

#[derive(Debug)]
struct Entry {
    /// None if there is no limit for this client.
    client: Option<Client>,
    accepted: Instant,
    gives_way: CancellationToken,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting { was_served_before: bool },
    Served,
    Closing,
}

#[derive(Debug, Default)]
struct ClientEntry {
    open: Arc<AtomicUsize>,
    waiting: BTreeSet<u64>,
}

/// A connection that was admitted.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) id: u64,
    /// Cancelled when it has to give way.
    pub(super) gives_way: CancellationToken,
    /// How many connections are open in total, and of the client if it has a limit.
    pub(super) total: Arc<AtomicUsize>,
    pub(super) of_client: Option<Arc<AtomicUsize>>,
}

impl Table {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            next_id: 0,
            open: Arc::default(),
            entries: HashMap::new(),
            clients: HashMap::new(),
            waiting: BTreeSet::new(),
            remembered: Remembered::default(),
        }
    }

    /// Returns the number of open connections.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Admits a connection, for which another may have to give way; `client` is none if it has no limit.
    pub(super) fn admit(&mut self, client: Option<Client>, now: Instant) -> Result<Admitted, Full> {
        if client.is_some_and(|client| self.count(client) >= self.limits.per_client) {
            let oldest = client.and_then(|client| self.clients.get(&client)?.waiting.first().copied());
            let silent = oldest.filter(|id| self.is_silent(*id, now));
            self.give_way(silent.ok_or(Full::Client)?);
        }
        if self.open() >= self.limits.total {
            if self.open() >= self.limits.total + MAX_CLOSING_CONNECTIONS {
                return Err(Full::Total);
            }
            let oldest_of = |was_served_before| self.waiting.range((was_served_before, 0)..).next();
            let oldest = [false, true].into_iter().filter_map(oldest_of).map(|(_, id)| *id);
            let silent = oldest.into_iter().find(|id| self.is_silent(*id, now));
            self.give_way(silent.ok_or(Full::Total)?);
        }
        Ok(self.insert(client, now))
    }

    /// Returns whether a waiting connection had enough time for a request.
    fn is_silent(&self, id: u64, now: Instant) -> bool {
        self.entries.get(&id).is_some_and(|entry| now.duration_since(entry.accepted) >= MIN_SILENT_AGE)
    }

    fn insert(&mut self, client: Option<Client>, accepted: Instant) -> Admitted {
        let id = self.next_id;
        self.next_id += 1;
        let was_served_before = client.is_none_or(|client| self.remembered.contains(client));
        self.waiting.insert((was_served_before, id));
        let of_client = client.map(|client| {
            let entry = self.clients.entry(client).or_default();
            entry.waiting.insert(id);
            entry.open.fetch_add(1, Ordering::Relaxed);
            Arc::clone(&entry.open)
        });
        self.open.fetch_add(1, Ordering::Relaxed);
        let gives_way = CancellationToken::new();
        let entry = Entry {
            client,
            accepted,
            gives_way: gives_way.clone(),
            state: State::Waiting { was_served_before },
        };
        self.entries.insert(id, entry);
        Admitted { id, gives_way, total: Arc::clone(&self.open), of_client }
    }

    /// A request has arrived whole on a connection, which no longer gives way.
    pub(super) fn serve(&mut self, id: u64) {
        let client = self.stop_waiting(id, State::Served);
        if let Some(client) = client {
            self.remembered.insert(client);
        }
    }

    /// A connection is closed.
    pub(super) fn close(&mut self, id: u64) {
        let state = self.entries.get(&id).map(|entry| entry.state);
        let client = self.stop_waiting(id, State::Closing);
        if state != Some(State::Closing) {
            self.leave(client);
        }
        if self.entries.remove(&id).is_some() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn give_way(&mut self, id: u64) {
        let client = self.stop_waiting(id, State::Closing);
        self.leave(client);
        if let Some(entry) = self.entries.get(&id) {
            entry.gives_way.cancel();
        }
    }

    /// Changes the state of a connection, and returns its client.
    fn stop_waiting(&mut self, id: u64, state: State) -> Option<Client> {
        let entry = self.entries.get_mut(&id)?;
        if let State::Waiting { was_served_before } = std::mem::replace(&mut entry.state, state) {
            self.waiting.remove(&(was_served_before, id));
            if let Some(client) = entry.client.and_then(|client| self.clients.get_mut(&client)) {
                client.waiting.remove(&id);
            }
        }
        entry.client
    }

    /// A connection of this client counts no more.
    fn leave(&mut self, client: Option<Client>) {
        let Some(client) = client else { return };
        let left = self.clients.get(&client).map(|entry| entry.open.fetch_sub(1, Ordering::Relaxed));
        if left == Some(1) {
            self.clients.remove(&client);
        }
    }

    fn count(&self, client: Client) -> usize {
        self.clients.get(&client).map_or(0, |entry| entry.open.load(Ordering::Relaxed))
    }
}

/// The clients that were served last, in two generations, so that old ones are forgotten together.
#[derive(Debug, Default)]
struct Remembered {
    current: HashSet<Client>,
    previous: HashSet<Client>,
}

impl Remembered {
    fn insert(&mut self, client: Client) {
        if self.current.len() >= MAX_REMEMBERED_CLIENTS / 2 {
            self.previous = std::mem::take(&mut self.current);
        }
        self.current.insert(client);
    }

    fn contains(&self, client: Client) -> bool {
        self.current.contains(&client) || self.previous.contains(&client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> Client {
        Client::of(IpAddr::from([192, 0, 2, last]))
    }

    impl Table {
        /// Admits a connection when all before it are old enough to be called silent.
        fn admit_later(&mut self, client: Option<Client>) -> Result<Admitted, Full> {
            let ages = u32::try_from(self.next_id).unwrap();
            self.admit(client, Instant::now() + MIN_SILENT_AGE * ages)
        }
    }

    fn table(total: usize, per_client: usize) -> Table {
        Table::new(Limits { total, per_client })
    }

    #[test]
    fn a_silent_connection_gives_way_to_a_new_one_of_the_same_client() {
        let mut table = table(100, 2);
        let first = table.admit_later(Some(client(1))).unwrap();
        let second = table.admit_later(Some(client(1))).unwrap();
        let other = table.admit_later(Some(client(2))).unwrap();
        let third = table.admit_later(Some(client(1))).unwrap();
        assert!(first.gives_way.is_cancelled());
        assert!([&second, &other, &third].iter().all(|one| !one.gives_way.is_cancelled()));
    }

    #[test]
    fn a_connection_that_had_no_time_for_a_request_does_not_give_way() {
        let mut table = table(2, 2);
        let now = Instant::now();
        let first = table.admit(Some(client(1)), now).unwrap();
        table.admit(Some(client(1)), now).unwrap();
        let soon = now + MIN_SILENT_AGE - Duration::from_millis(1);
        assert_eq!(table.admit(Some(client(1)), soon).unwrap_err(), Full::Client);
        assert_eq!(table.admit(Some(client(2)), soon).unwrap_err(), Full::Total);
        assert!(!first.gives_way.is_cancelled());
        table.admit(Some(client(1)), now + MIN_SILENT_AGE).unwrap();
        assert!(first.gives_way.is_cancelled());
    }

    #[test]
    fn a_client_with_as_many_served_connections_as_it_may_have_is_refused_until_one_is_closed() {
        let mut table = table(100, 2);
        let ids = [client(1), client(1)].map(|client| table.admit_later(Some(client)).unwrap().id);
        for id in ids {
            table.serve(id);
        }
        assert_eq!(table.admit_later(Some(client(1))).unwrap_err(), Full::Client);
        assert!(table.admit_later(Some(client(2))).is_ok());
        table.close(ids[0]);
        assert!(table.admit_later(Some(client(1))).is_ok());
    }

    #[test]
    fn a_client_without_a_limit_may_have_all_connections() {
        let mut table = table(10, 1);
        for _ in 0..10 {
            let id = table.admit_later(None).unwrap().id;
            table.serve(id);
        }
        assert_eq!(table.admit_later(None).unwrap_err(), Full::Total);
    }

    #[test]
    fn in_total_the_oldest_silent_connection_gives_way_and_clients_served_before_come_last() {
        let mut table = table(3, 10);
        let served = table.admit_later(Some(client(1))).unwrap();
        table.serve(served.id);
        let known = table.admit_later(Some(client(1))).unwrap();
        let stranger = table.admit_later(Some(client(2))).unwrap();
        table.admit_later(Some(client(3))).unwrap();
        assert!(stranger.gives_way.is_cancelled() && !known.gives_way.is_cancelled());
        table.admit_later(Some(client(4))).unwrap();
        table.admit_later(Some(client(5))).unwrap();
        assert!(!known.gives_way.is_cancelled() && !served.gives_way.is_cancelled());
    }

    #[test]
    fn when_all_are_served_a_new_connection_is_refused() {
        let mut table = table(2, 10);
        for last in [1, 2] {
            let id = table.admit_later(Some(client(last))).unwrap().id;
            table.serve(id);
        }
        assert_eq!(table.admit_later(Some(client(3))).unwrap_err(), Full::Total);
    }

    #[test]
    fn connections_that_give_way_and_are_still_open_are_bounded() {
        let mut table = table(4, 100);
        let admitted = (0..100).filter(|_| table.admit_later(Some(client(1))).is_ok()).count();
        assert_eq!(admitted, 4 + MAX_CLOSING_CONNECTIONS);
        assert_eq!(table.open(), admitted);
    }

    #[test]
    fn nothing_is_left_of_closed_connections() {
        let mut table = table(4, 2);
        for round in 0..100 {
            let admitted = table.admit_later(Some(client(round % 5))).unwrap();
            if round % 3 == 0 {
                table.serve(admitted.id);
            }
            if round % 2 == 0 {
                table.close(admitted.id);
            }
            if let Some(old) = table.entries.keys().copied().min().filter(|_| round % 2 == 1) {
                table.close(old);
            }
        }
        for id in table.entries.keys().copied().collect::<Vec<_>>() {
            table.close(id);
        }
        assert_eq!((table.open(), table.clients.len(), table.waiting.len()), (0, 0, 0));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_client() {
        let [one, other, elsewhere] = ["2001:db8:1:2::3", "2001:db8:1:2:ffff::4", "2001:db8:1:3::3"]
            .map(|text| Client::of(text.parse().unwrap()));
        assert!(one == other && one != elsewhere);
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(Client::of(mapped), client(1));
    }
}
