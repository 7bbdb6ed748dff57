//! What is looked at again while the service runs: the templates' folder, which is loaded anew once it has
//! changed and come to rest, and on SIGHUP; and the files of the operator's own key, which may be rotated.

use std::{sync::Arc, time::Duration};

use tokio::{
    signal::unix::Signal,
    time::{MissedTickBehavior, interval},
};

use crate::{
    audit::{Audit, Event, ReloadedBy},
    reload::TemplateStore,
    sts::TencentSts,
    systemd,
};
use runtime::clock::Clock;
use templates::fingerprint::Fingerprint;

/// Between two looks. A change serves after the second look that finds it: a file that an editor is still
/// writing is left alone, and whatever way it is replaced (rename, symbolic link, in place) is seen, because
/// what is compared is what stands in the files.
const LOOK: Duration = Duration::from_millis(500);

/// Loads the folder anew whenever there is reason to, and takes a rotated key, until dropped.
pub(super) async fn watch(
    store: Arc<TemplateStore>,
    sts: Arc<TencentSts>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    mut hangups: Signal,
) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rest = Rest::default();
    loop {
        let (store, sts, audit) = (Arc::clone(&store), Arc::clone(&sts), audit.clone());
        let asked = tokio::select! {
            hangup = hangups.recv() => hangup.is_some(),
            _ = looks.tick() => false,
        };
        if asked {
            systemd::notify_reloading();
        }
        let now = clock.now();
        let loading = tokio::task::spawn_blocking(move || {
            if asked || rest.is_over(store.look(), store.last_tried()) {
                let reload = store.reload(now);
                let by = if asked { ReloadedBy::Signal } else { ReloadedBy::Folder };
                audit.record(Event::reload(&reload, &store.current(), by, None));
            }
            sts.reload_source_credentials();
            rest
        });
        rest = loading.await.unwrap_or_default();
        if asked {
            systemd::notify_ready();
        }
    }
}

/// What the last look found.
#[derive(Debug, Clone, Copy, Default)]
struct Rest {
    seen: Option<Fingerprint>,
}

impl Rest {
    /// Whether the folder stands as it did at the last look, and was not yet tried like this.
    fn is_over(&mut self, found: Fingerprint, tried: Fingerprint) -> bool {
        let same = self.seen == Some(found);
        self.seen = Some(found);
        same && found != tried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_loaded_once_it_stands_still_and_only_once() {
        let version = |text: &str| Fingerprint::of(&[text]);
        let [serving, half, whole, gone] = ["serving", "half", "whole", "gone"].map(version);
        let mut rest = Rest::default();
        for (found, tried, expected) in [
            (serving, serving, false),
            (serving, serving, false),
            (half, serving, false),
            (whole, serving, false),
            (whole, serving, true),
            (whole, whole, false),
            (gone, whole, false),
            (gone, whole, true),
            (gone, gone, false),
            (whole, gone, false),
            (whole, gone, true),
        ] {
            assert_eq!(rest.is_over(found, tried), expected, "{found:?} after {tried:?}");
        }
    }
}
