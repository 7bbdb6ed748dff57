use std::{sync::mpsc, time::Duration};

use futures::{FutureExt, future::join_all};
use prometheus_client::encoding::text::encode;

use super::*;
use runtime::clock::{Clock, SystemClock, TestClock};
use templates::IssuerTrust;

const SHIPPED: &str = include_str!("../../policies/upload.toml");

/// A store of a folder with one template.
fn store(dir: &Path, files: FileWorker) -> Arc<TemplateStore> {
    std::fs::write(dir.join("upload.toml"), SHIPPED).unwrap();
    let constraints = ServingConstraints {
        issuer_trust: IssuerTrust::default(),
        longest: Duration::from_hours(36),
        min_remaining: None,
        default: None,
    };
    let store = TemplateStore::open(dir.to_owned(), constraints, Timestamp::UNIX_EPOCH).unwrap();
    Arc::new(TemplateStore { files, ..store })
}

fn no_audit() -> Audit {
    Audit::start(None, Arc::new(SystemClock::start())).unwrap()
}

fn reloads(store: &TemplateStore) -> String {
    let mut registry = Registry::default();
    store.metrics.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    text
}

const API: ReloadCause = ReloadCause::Api { client: None };

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_while_a_reload_runs_share_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), FileWorker::default());
    let (audit, clock) = (no_audit(), TestClock::at(0) as Arc<dyn Clock>);
    let request = || Box::pin(store.request_reload(&audit, API, &clock));
    let (mut first, mut others) = (request(), join_all((0..200).map(|_| request())));
    {
        // The first reload runs and cannot go on.
        let _loading = store.loading.lock().unwrap();
        assert!((&mut first).now_or_never().is_none());
        while !store.queue.is_running() {
            std::thread::yield_now();
        }
        assert!((&mut others).now_or_never().is_none());
    }
    for reload in others.await.into_iter().chain([first.await]) {
        assert!(matches!(*reload.unwrap(), Reload::Unchanged));
    }
    assert!(reloads(&store).contains("{outcome=\"unchanged\"} 2\n"), "{}", reloads(&store));
}

#[tokio::test]
async fn a_folder_on_a_stalled_mount_is_a_problem_and_the_last_good_set_serves() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), FileWorker::new(Duration::from_millis(1)));
    let (_release, blocked) = mpsc::channel::<()>();
    assert!(store.files.run(move || blocked.recv()).is_err());
    let reload = store.reload(&no_audit(), API, Timestamp::UNIX_EPOCH);
    let Reload::Refused(problems) = reload else { panic!("{reload:?}") };
    assert!(problems[0].to_string().contains("its storage does not answer; check the mount"), "{problems:?}");
    assert_eq!(store.poll(), store.last_tried(), "it is not tried again until it changes");
    assert_eq!(store.current().names().collect::<Vec<_>>(), ["upload"]);
}
