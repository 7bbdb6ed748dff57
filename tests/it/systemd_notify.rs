//! What the service reports to systemd, over a socket like that of systemd.

use std::{
    os::unix::net::UnixDatagram,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::support::{Answers, CannedSts, Setup, cosbroker};

/// A running service, with the socket that it reports to.
struct Service {
    process: Child,
    socket: UnixDatagram,
    _dir: tempfile::TempDir,
}

impl Service {
    fn start(environment: &[(&str, &str)]) -> Self {
        let dir = Setup::new(CannedSts::start(Answers::Key(1800)).address).write();
        let path = dir.path().join("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let process = cosbroker(dir.path())
            .args(["serve", "--config", "config.toml"])
            .env("NOTIFY_SOCKET", &path)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, socket, _dir: dir }
    }

    /// The next report, as `NAME=value` lines.
    fn report(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The next report that is not a ping of the watchdog.
    fn report_of_state(&self) -> String {
        loop {
            let report = self.report();
            if report != "WATCHDOG=1\n" {
                return report;
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn start_reload_and_stop_are_reported() {
    let mut service = Service::start(&[]);
    assert_eq!(service.report(), "READY=1\n");
    service.signal("-HUP");
    let reloading = service.report();
    let time =
        reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{reloading}"));
    assert!(time.trim_end().parse::<u64>().unwrap() > 0, "{reloading}");
    assert_eq!(service.report(), "READY=1\n");
    service.signal("-TERM");
    assert_eq!(service.report(), "STOPPING=1\n");
    assert!(service.process.wait().unwrap().success());
}

#[test]
fn the_watchdog_is_pinged_at_half_of_its_timeout() {
    let service = Service::start(&[("WATCHDOG_USEC", "400000")]);
    assert_eq!(service.report_of_state(), "READY=1\n");
    let started = std::time::Instant::now();
    for _ in 0..5 {
        assert_eq!(service.report(), "WATCHDOG=1\n");
    }
    // Five pings span at least four intervals of 200 ms, less the time since the last one.
    assert!(started.elapsed() >= Duration::from_millis(600), "{:?}", started.elapsed());
}
