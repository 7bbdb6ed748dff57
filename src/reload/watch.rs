//! Watches the templates' folder. A change is loaded once the folder has come to rest, and on SIGHUP.

use std::{sync::Arc, time::Duration};

use tokio::{
    signal::unix::Signal,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{ReloadCause, TemplateStore};
use crate::{audit::Audit, systemd};
use runtime::clock::Clock;
use templates::fingerprint::Fingerprint;

/// A change is loaded when the second poll finds it, so that a file that an editor still writes is left alone.
/// Contents are compared, so every kind of replacement is seen: rename, symbolic link, or in place.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Reloads the folder when it changes or the process gets a SIGHUP, until dropped.
pub(crate) async fn watch(
    store: Arc<TemplateStore>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    mut hangups: Signal,
) {
    // The folder was loaded just before.
    let mut polls = interval_at(Instant::now() + POLL_INTERVAL, POLL_INTERVAL);
    polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut settling = Settling::default();
    loop {
        let has_signal = tokio::select! {
            hangup = hangups.recv() => hangup.is_some(),
            _ = polls.tick() => false,
        };
        if has_signal {
            systemd::notify_reloading();
            reload(&store, &audit, ReloadCause::Signal, &clock).await;
            systemd::notify_ready();
        } else if has_settled(&store, &mut settling).await {
            reload(&store, &audit, ReloadCause::Folder, &clock).await;
        }
    }
}

async fn reload(store: &Arc<TemplateStore>, audit: &Audit, cause: ReloadCause, clock: &Arc<dyn Clock>) {
    if let Err(error) = store.request_reload(audit, cause, clock).await {
        tracing::error!(%error, "the templates were not loaded");
    }
}

/// Polls the folder and returns whether it has come to rest in a state that was not tried.
async fn has_settled(store: &Arc<TemplateStore>, settling: &mut Settling) -> bool {
    let store = Arc::clone(store);
    let polled = tokio::task::spawn_blocking(move || (store.poll(), store.last_tried())).await;
    // A panic in there is reported by the hook; the next poll tries again.
    polled.is_ok_and(|(found, tried)| settling.has_settled(found, tried))
}

/// What the last poll found.
#[derive(Debug, Clone, Copy, Default)]
struct Settling {
    last_found: Option<Fingerprint>,
}

impl Settling {
    /// Whether the folder is the same as at the last poll, and was not yet loaded in this state.
    fn has_settled(&mut self, found: Fingerprint, tried: Fingerprint) -> bool {
        let is_same = self.last_found == Some(found);
        self.last_found = Some(found);
        is_same && found != tried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_loaded_once_when_it_has_come_to_rest() {
        let [serving, half, whole, gone] =
            ["serving", "half", "whole", "gone"].map(|text| Fingerprint::of(&[text]));
        let mut settling = Settling::default();
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
            assert_eq!(settling.has_settled(found, tried), expected, "{found:?} after {tried:?}");
        }
    }
}
