//! Notifications to systemd (`sd_notify(3)`), for `Type=notify-reload` and `WatchdogSec=`. None of them does anything
//! where systemd did not start this process.

use sd_notify::NotifyState;
use tokio::time::interval;

/// Reports that the service is ready, after its start or a reload.
pub(crate) fn notify_ready() {
    notify(&[NotifyState::Ready]);
}

/// Reports that a reload begins. systemd wants to know when, by the monotonic clock, to tell reloads apart.
pub(crate) fn notify_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "systemd cannot be notified of a reload: no monotonic clock"),
    }
}

/// Reports that the service is about to stop.
pub(crate) fn notify_stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Pings the watchdog at half of its timeout, as systemd recommends. Ends at once if there is no watchdog.
pub(crate) async fn ping_watchdog() {
    let Some(timeout) = sd_notify::watchdog_enabled() else { return };
    let mut pings = interval(timeout / 2);
    loop {
        pings.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    #[expect(clippy::disallowed_methods, reason = "the one place that notifies systemd")]
    let sent = sd_notify::notify(states);
    if let Err(error) = sent {
        tracing::warn!(%error, "systemd cannot be notified; check the unit's NotifyAccess=");
    }
}
