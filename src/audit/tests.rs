use std::path::PathBuf;

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

fn figure(audit: &Audit, name: &str) -> u64 {
    let mut registry = Registry::default();
    audit.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let samples = text.lines().filter(|line| line.starts_with(name));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Every line of a log and its older files, oldest first; each must be whole.
fn lines(dir: &Path) -> Vec<serde_json::Value> {
    let number = |path: &PathBuf| path.extension().unwrap().to_str().unwrap().parse::<u32>().unwrap_or(0);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|path| std::cmp::Reverse(number(path)));
    let texts = files.iter().map(|path| std::fs::read_to_string(path).unwrap());
    texts
        .flat_map(|text| {
            assert!(text.is_empty() || text.ends_with('\n'));
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn nothing_is_lost_or_torn_while_many_tell_and_the_log_is_turned_over() {
    let dir = tempfile::tempdir().unwrap();
    let audit = started(config(dir.path().join("audit.jsonl"), 16 << 10));
    std::thread::scope(|scope| {
        for teller in 0..4 {
            let audit = &audit;
            scope.spawn(move || (0..1500).for_each(|n| audit.record(event(&format!("{teller}-{n}")))));
        }
    });
    audit.close();
    let lines = lines(dir.path());
    for teller in 0..4 {
        let prefix = format!("{teller}-");
        let told = lines.iter().filter_map(|line| line["subject"].as_str()?.strip_prefix(&prefix));
        assert!(told.eq((0..1500).map(|n| n.to_string())), "in the order told, and all");
    }
    assert_eq!(lines.last().unwrap()["event"], "stop");
    assert_eq!(lines.len(), 6001);
    assert!(std::fs::read_dir(dir.path()).unwrap().count() > 10);
    assert_eq!(
        (figure(&audit, "cosbroker_audit_lines_total"), figure(&audit, "cosbroker_audit_lost_total")),
        (6001, 0)
    );
}

#[test]
fn a_full_disk_keeps_nobody_waiting_and_what_does_not_fit_the_queue_is_counted() {
    let audit = started(config("/dev/full".into(), 16 << 10));
    let told = QUEUE + 5000;
    (0..told).for_each(|n| audit.record(event(&n.to_string())));
    let lost = figure(&audit, "cosbroker_audit_lost_total{reason=\"queue_full\"}");
    assert!((5000 - 300..=5000).contains(&lost), "{lost} of {told}");
    audit.close();
    assert_eq!(figure(&audit, "cosbroker_audit_failing"), 1);
    assert_eq!(
        figure(&audit, "cosbroker_audit_lost_total"),
        told as u64,
        "the end finds the disk still full"
    );
    assert_eq!(figure(&audit, "cosbroker_audit_lines_total"), 0);
    audit.record(event("late"));
    assert_eq!(figure(&audit, "cosbroker_audit_lost_total{reason=\"stopped\"}"), 1);
}

#[test]
fn what_waited_for_a_full_disk_is_written_once_there_is_room_and_the_hole_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let audit = started(config(path.clone(), 1 << 30));
    let told = QUEUE + 5000;
    (0..told).for_each(|n| audit.record(event(&n.to_string())));
    let lost = figure(&audit, "cosbroker_audit_lost_total");
    assert!(lost > 0);
    std::fs::remove_file(&path).unwrap();
    audit.close();
    let lines = lines(dir.path());
    let kept = lines.iter().filter(|line| line["event"] == "revoke").count();
    assert_eq!(kept + usize::try_from(lost).unwrap(), told);
    let holes: u64 = lines.iter().filter_map(|line| line["lines"].as_u64()).sum();
    assert_eq!(holes, lost);
    assert_eq!(lines.last().unwrap()["event"], "stop");
    assert_eq!(figure(&audit, "cosbroker_audit_failing"), 0);
}

#[test]
fn a_flood_that_is_over_is_told_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path().join("audit.jsonl"), 1 << 30);
    config.refusals = "5/hour".parse().unwrap();
    let audit = started(config);
    let refused = || Refused {
        outcome: "unauthenticated",
        status: 401,
        cause: "bad signature".to_owned(),
        context: crate::request::RequestContext::for_tests(0),
        principal: None,
        template: None,
    };
    (0..10_000).for_each(|_| audit.record(Event::Refusal(refused())));
    audit.close();
    let lines = lines(dir.path());
    assert_eq!(lines.iter().filter(|line| line["event"] == "refusal").count(), 5);
    let told = lines.iter().find(|line| line["event"] == "suppressed").unwrap();
    assert_eq!((told["kind"].as_str(), told["refusals"].as_u64()), (Some("bad signature"), Some(9995)));
    assert_eq!(figure(&audit, "cosbroker_audit_suppressed_total"), 9995);
}

#[test]
fn a_log_that_cannot_be_opened_is_told_where_and_how_to_mend_it() {
    let dir = tempfile::tempdir().unwrap();
    for (path, said) in [("no/such.jsonl", "make the folder"), (".", "let the service's user write there")] {
        let config = config(dir.path().join(path), 1 << 20);
        let fault =
            Audit::start(Some(config.clone()), Arc::new(SystemClock::start())).unwrap_err().to_string();
        assert!(fault.starts_with("config.toml:1:1: ") && fault.contains(said), "{fault}");
        assert!(check(&config).is_err());
    }
    let path = dir.path().join("audit.jsonl");
    let first = started(config(path.clone(), 1 << 20));
    let second = Audit::start(Some(config(path, 1 << 20)), Arc::new(SystemClock::start()));
    assert!(second.unwrap_err().to_string().contains("another process writes to it; give each process"));
    drop(first);
}

#[test]
fn who_wants_no_log_gets_none() {
    let audit = Audit::start(None, Arc::new(SystemClock::start())).unwrap();
    audit.record(event("alice"));
    audit.close();
    assert!(!audit.wants_hits());
}

#[test]
fn a_start_that_fails_after_the_log_was_opened_leaves_no_stop_behind() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path().join("audit.jsonl"), 1 << 20);
    drop(started(config.clone()));
    // Its thread holds the file until it has ended.
    let next = std::iter::repeat_with(|| Audit::start(Some(config.clone()), Arc::new(SystemClock::start())));
    next.flatten().next().unwrap().close();
    let events: Vec<_> = lines(dir.path()).iter().map(|line| line["event"].clone()).collect();
    assert_eq!(events, ["stop"]);
}

/// A clock that stands until it is moved.
#[derive(Debug, Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }
}

#[test]
fn a_log_that_nobody_takes_is_alarmed_though_no_attempt_to_write_fails() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Open for both, so that opening it waits for nobody.
    let reader = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let clock = Arc::new(Hand::default());
    let audit = Audit::start(Some(config(path, 1 << 30)), Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let told = 2000;
    (0..told).for_each(|n| audit.record(event(&n.to_string())));
    let on = audit.on.as_ref().unwrap();
    let mut seen = (0, 0);
    // Until it writes, and a pipe's 64 KiB later, writes no more.
    while on.signals.writing_since.load(Ordering::Relaxed) == 0 || seen.1 < 1000 {
        let written = audit.status().unwrap().written;
        seen = if written == seen.0 { (written, seen.1 + 1) } else { (written, 0) };
        std::thread::yield_now();
    }
    assert_eq!((audit.status().unwrap().failing, figure(&audit, "cosbroker_audit_failing")), (false, 0));
    clock.0.store(7, Ordering::SeqCst);
    assert_eq!((audit.status().unwrap().failing, figure(&audit, "cosbroker_audit_failing")), (true, 1));
    let waiting = figure(&audit, "cosbroker_audit_queue");
    assert_eq!(waiting + audit.status().unwrap().written, told);
    assert!(waiting > 0);
    drop(reader);
}
