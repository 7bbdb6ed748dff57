use std::{io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};

use super::*;
use crate::config::{AuditTarget, Rotation};
use diagnostics::Rate;
use runtime::clock::SystemClock;
use templates::identity::Principal;

fn config(path: PathBuf, max_bytes: u64) -> config::Audit {
    let rotation = Some(Rotation { max_bytes, keep: 1000.try_into().unwrap() });
    let target = AuditTarget::File { path, rotation, place: "config.toml:1:1".to_owned() };
    config::Audit { target, hits: false, refusals: Rate::Off }
}

fn started(config: config::Audit) -> Audit {
    Audit::start(Some(config), Arc::new(SystemClock::start())).unwrap()
}

fn event(subject: &str) -> Event {
    Event::revoke("revoked", Principal::new("i", subject), None, None)
}

fn refusal(cause: &str) -> Event {
    Event::Refusal(Refused {
        outcome: "unauthenticated",
        status: 401,
        cause: cause.to_owned(),
        context: crate::request::RequestContext::for_tests(0),
        principal: None,
        template: None,
    })
}

fn metric(audit: &Audit, name: &str) -> u64 {
    let mut registry = Registry::default();
    audit.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let samples = text.lines().filter(|line| line.starts_with(name));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// The number at the end of a rotated file's name; 0 for the newest file.
fn rotation_number(path: &Path) -> u32 {
    path.extension().unwrap().to_str().unwrap().parse().unwrap_or(0)
}

/// Every line of a log and its rotated files, oldest first; each must be whole.
fn lines(dir: &Path) -> Vec<serde_json::Value> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|path| std::cmp::Reverse(rotation_number(path)));
    let texts = files.iter().map(|path| std::fs::read_to_string(path).unwrap());
    texts
        .flat_map(|text| {
            assert!(text.is_empty() || text.ends_with('\n'));
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn no_line_is_lost_or_torn_when_threads_record_while_the_log_rotates() {
    let dir = tempfile::tempdir().unwrap();
    let audit = started(config(dir.path().join("audit.jsonl"), 16 << 10));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let audit = &audit;
            scope.spawn(move || (0..1500).for_each(|n| audit.record(event(&format!("{thread}-{n}")))));
        }
    });
    // A slow disk may need longer for these than `close` waits.
    while metric(&audit, "cosbroker_audit_queue") > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    audit.close();
    let lines = lines(dir.path());
    for thread in 0..4 {
        let prefix = format!("{thread}-");
        let recorded = lines.iter().filter_map(|line| line["subject"].as_str()?.strip_prefix(&prefix));
        assert!(recorded.eq((0..1500).map(|n| n.to_string())), "all, in the order of recording");
    }
    assert_eq!(lines.last().unwrap()["event"], "stop");
    assert_eq!(lines.len(), 6001);
    assert!(std::fs::read_dir(dir.path()).unwrap().count() > 10);
    assert_eq!(
        (metric(&audit, "cosbroker_audit_lines_total"), metric(&audit, "cosbroker_audit_lost_total")),
        (6001, 0)
    );
}

#[test]
fn a_full_disk_delays_no_caller_and_events_above_the_queue_size_are_counted() {
    let audit = started(config("/dev/full".into(), 16 << 10));
    let recorded = MAX_QUEUED_EVENTS + 5000;
    (0..recorded).for_each(|n| audit.record(event(&n.to_string())));
    let lost = metric(&audit, "cosbroker_audit_lost_total{reason=\"queue_full\"}");
    assert!((5000 - 300..=5000).contains(&lost), "{lost} of {recorded}");
    audit.close();
    assert_eq!(metric(&audit, "cosbroker_audit_failing"), 1);
    assert_eq!(
        metric(&audit, "cosbroker_audit_lost_total"),
        recorded as u64,
        "the disk is still full at the end"
    );
    assert_eq!(metric(&audit, "cosbroker_audit_lines_total"), 0);
    audit.record(event("late"));
    assert_eq!(metric(&audit, "cosbroker_audit_lost_total{reason=\"stopped\"}"), 1);
}

#[test]
fn lines_of_requests_leave_room_for_a_revocation() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let audit = started(config(path.clone(), 1 << 30));
    (0..2 * MAX_QUEUED_EVENTS).for_each(|n| audit.record(refusal(&n.to_string())));
    let lost = metric(&audit, "cosbroker_audit_lost_total");
    assert!(lost > 0);
    (0..RESERVED_EVENTS).for_each(|n| audit.record(event(&n.to_string())));
    assert_eq!(metric(&audit, "cosbroker_audit_lost_total"), lost);
    std::fs::remove_file(&path).unwrap();
    audit.close();
    let revoked = lines(dir.path()).into_iter().filter(|line| line["event"] == "revoke").count();
    assert_eq!(revoked, RESERVED_EVENTS);
}

#[test]
fn queued_lines_are_written_once_the_disk_has_space_and_the_gap_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let audit = started(config(path.clone(), 1 << 30));
    let recorded = MAX_QUEUED_EVENTS + 5000;
    (0..recorded).for_each(|n| audit.record(event(&n.to_string())));
    let lost = metric(&audit, "cosbroker_audit_lost_total");
    assert!(lost > 0);
    std::fs::remove_file(&path).unwrap();
    audit.close();
    let lines = lines(dir.path());
    let kept = lines.iter().filter(|line| line["event"] == "revoke").count();
    assert_eq!(kept + usize::try_from(lost).unwrap(), recorded);
    let reported: u64 = lines.iter().filter_map(|line| line["lines"].as_u64()).sum();
    assert_eq!(reported, lost);
    assert_eq!(lines.last().unwrap()["event"], "stop");
    assert_eq!(metric(&audit, "cosbroker_audit_failing"), 0);
}

#[test]
fn suppressed_refusals_are_reported_when_the_log_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path().join("audit.jsonl"), 1 << 30);
    config.refusals = "5/hour".parse().unwrap();
    let audit = started(config);
    (0..10_000).for_each(|_| audit.record(refusal("bad signature")));
    audit.close();
    let lines = lines(dir.path());
    assert_eq!(lines.iter().filter(|line| line["event"] == "refusal").count(), 5);
    let suppressed = lines.iter().find(|line| line["event"] == "suppressed").unwrap();
    assert_eq!(
        (suppressed["kind"].as_str(), suppressed["refusals"].as_u64()),
        (Some("bad signature"), Some(9995))
    );
    assert_eq!(metric(&audit, "cosbroker_audit_suppressed_total"), 9995);
}

#[test]
fn the_error_of_a_log_that_cannot_be_opened_has_place_and_help() {
    let dir = tempfile::tempdir().unwrap();
    for (path, help) in [("no/such.jsonl", "create its folder"), (".", "write access there")] {
        let config = config(dir.path().join(path), 1 << 20);
        let error =
            Audit::start(Some(config.clone()), Arc::new(SystemClock::start())).unwrap_err().to_string();
        assert!(error.starts_with("config.toml:1:1: ") && error.contains(help), "{error}");
        assert!(check(&config).is_err());
    }
    let path = dir.path().join("audit.jsonl");
    let first = started(config(path.clone(), 1 << 20));
    let second = Audit::start(Some(config(path, 1 << 20)), Arc::new(SystemClock::start()));
    assert!(second.unwrap_err().to_string().contains("another process writes to it; give each process"));
    drop(first);
}

#[test]
fn without_a_configuration_nothing_is_recorded() {
    let audit = Audit::start(None, Arc::new(SystemClock::start())).unwrap();
    audit.record(event("alice"));
    audit.close();
    assert!(!audit.includes_hits());
}

#[test]
fn a_service_that_fails_to_start_writes_no_stop_line() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path().join("audit.jsonl"), 1 << 20);
    drop(started(config.clone()));
    // Its thread holds the file until it has ended.
    let next = std::iter::repeat_with(|| Audit::start(Some(config.clone()), Arc::new(SystemClock::start())));
    next.flatten().next().unwrap().close();
    let events: Vec<_> = lines(dir.path()).iter().map(|line| line["event"].clone()).collect();
    assert_eq!(events, ["stop"]);
}

/// A clock that is set by hand.
#[derive(Debug, Default)]
struct ManualClock(AtomicU64);

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

/// Writes to a pipe until it takes no more, so that the next write to it blocks.
fn fill(pipe: &Path) {
    const O_NONBLOCK: i32 = 0o4000;
    let mut pipe = std::fs::File::options().write(true).custom_flags(O_NONBLOCK).open(pipe).unwrap();
    while pipe.write(&[b'\n'; 4096]).is_ok() {}
    while pipe.write(b"\n").is_ok() {}
}

#[test]
fn a_write_that_hangs_counts_as_failing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Open for reading and writing, so that opening it does not wait for the other side.
    let reader = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    fill(&path);
    let clock = Arc::new(ManualClock::default());
    let audit = Audit::start(Some(config(path, 1 << 30)), Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let recorded = 2000;
    (0..recorded).for_each(|n| audit.record(event(&n.to_string())));
    let log = audit.active.as_ref().unwrap();
    while log.shared.writing_since.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    assert_eq!((audit.status().unwrap().failing, metric(&audit, "cosbroker_audit_failing")), (false, 0));
    clock.0.store(7, Ordering::SeqCst);
    assert_eq!((audit.status().unwrap().failing, metric(&audit, "cosbroker_audit_failing")), (true, 1));
    assert_eq!((metric(&audit, "cosbroker_audit_queue"), audit.status().unwrap().written), (recorded, 0));
    drop(reader);
}
