//! Alarms: the parts of the state that an operator must act on.

use serde::Serialize;

use super::status::{Issuer, Replicas, Status};
use crate::{audit, canary, sts::BreakerState};

/// The share of the STS quota whose use raises an alarm.
const QUOTA_ALARM_RATIO: f64 = 0.8;

/// Something that is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Alarm {
    pub(super) what: String,
    pub(super) help: &'static str,
}

impl Alarm {
    fn new(what: impl Into<String>, help: &'static str) -> Self {
        Self { what: what.into(), help }
    }
}

impl Status {
    /// Returns the active alarms, the most severe first.
    pub(super) fn active_alarms(&self) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        alarms.extend(self.canary.as_ref().and_then(isolation_alarm));
        alarms.extend(self.canary.as_ref().and_then(own_access_alarm));
        alarms.extend(self.breaker_alarm());
        alarms.extend(self.sts_failures_alarm());
        alarms.extend(self.throttling_alarm());
        alarms.extend(self.quota_alarm());
        alarms.extend(self.templates_alarm());
        alarms.extend(self.issuers.iter().filter(|issuer| !issuer.ready).map(issuer_alarm));
        alarms.extend(self.revocations_alarm());
        alarms.extend(self.replicas.iter().flat_map(replicas_alarms));
        alarms.extend(self.audit.as_ref().and_then(audit_failing_alarm));
        alarms.extend(self.audit.as_ref().and_then(audit_lost_alarm));
        alarms
    }

    fn breaker_alarm(&self) -> Option<Alarm> {
        (self.sts.breaker != BreakerState::Closed).then(|| {
            Alarm::new(
                "the circuit to STS is open after 10 consecutive failures: users without a cached key get 503",
                "see the refusals below and the log for what STS responded; calls start again by themselves once STS works",
            )
        })
    }

    fn sts_failures_alarm(&self) -> Option<Alarm> {
        let rates = self.current_rates().filter(|rates| rates.sts_failures_per_second > 0.0)?;
        let failed = rates.sts_failures_per_second / rates.sts_calls_per_second * 100.0;
        Some(Alarm::new(
            format!("{failed:.0} % of the calls to STS failed in the last minute"),
            "see the codes in cosbroker_sts_calls_total: correct source credentials or templates that STS rejects; other failures are retried",
        ))
    }

    fn throttling_alarm(&self) -> Option<Alarm> {
        let (allowed, limit) = (self.sts.quota_allowed, self.sts.quota_limit);
        (allowed < limit).then(|| {
            Alarm::new(
                format!("STS throttles this account: {allowed} of {limit} calls a second are made"),
                "other services use the account's quota; lower sts.calls_per_second or ask Tencent for a higher quota",
            )
        })
    }

    fn quota_alarm(&self) -> Option<Alarm> {
        let allowed = self.sts.quota_allowed;
        let used = self.current_rates()?.sts_calls_per_second;
        (used > QUOTA_ALARM_RATIO * f64::from(allowed)).then(|| {
            Alarm::new(
                format!("more than 80 % of the quota of {allowed} STS calls a second is used"),
                "raise sts.calls_per_second if the account's quota is higher, or give keys a longer lifetime",
            )
        })
    }

    fn templates_alarm(&self) -> Option<Alarm> {
        let problem = self.templates.problems.first()?;
        Some(Alarm::new(
            format!("the templates' folder is refused, and the last good set stays active: {problem}"),
            "correct the file",
        ))
    }

    fn revocations_alarm(&self) -> Option<Alarm> {
        self.keys.revocations_unsaved.then(|| {
            Alarm::new(
                "the last revocation ends with this process: limits.revoked_file cannot be written",
                "free disk space or grant write access to its folder, then revoke again: that writes all revoked users",
            )
        })
    }
}

fn isolation_alarm(canary: &canary::Snapshot) -> Option<Alarm> {
    let breach = canary.breach.as_ref()?;
    Some(Alarm::new(
        format!("ISOLATION IS BROKEN: one synthetic user reached the objects of another: {breach}"),
        "check the bucket's policy and ACL and run cosbroker verify-isolation; if the bucket is not public, stop this broker",
    ))
}

fn own_access_alarm(canary: &canary::Snapshot) -> Option<Alarm> {
    let run = canary.last.as_ref().filter(|run| run.outcome == canary::RunOutcome::OwnDenied)?;
    let cause = run.why.as_deref().unwrap_or("see the log");
    Some(Alarm::new(
        format!("COS denies what a template grants, so users cannot write: {cause}"),
        "check the permissions of the source credentials, the bucket's policy, and the bucket and region that the template names",
    ))
}

fn issuer_alarm(issuer: &Issuer) -> Alarm {
    Alarm::new(
        format!("tokens of {} cannot be verified: its key set cannot be fetched", issuer.name),
        "check that its jwks_url responds from here; the log has the error",
    )
}

fn replicas_alarms(replicas: &Replicas) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    if let Some(problem) = &replicas.problem {
        alarms.push(Alarm::new(
            format!(
                "Redis is not used, and this replica goes on alone with {} calls to STS a second: {problem}",
                replicas.quota_alone
            ),
            "check Redis and the network; it is used again by itself",
        ));
    }
    if replicas.templates_outdated {
        alarms.push(Alarm::new(
            "another replica serves a later version of the templates",
            "update the templates of this one; while a new version is rolled out, this is expected",
        ));
    }
    if replicas.values_refused > 0 {
        alarms.push(Alarm::new(
            format!("{} values in Redis were not ours, altered or moved, and were not used", replicas.values_refused),
            "find out who else writes to this Redis under redis.key_prefix, or with which key other replicas encrypt",
        ));
    }
    if replicas.revocations_unannounced > 0 {
        alarms.push(Alarm::new(
            format!("{} revocations are not known to the other replicas", replicas.revocations_unannounced),
            "until Redis is used again, revoke the users at each replica",
        ));
    }
    alarms
}

fn audit_failing_alarm(audit: &audit::Status) -> Option<Alarm> {
    audit.failing.then(|| {
        Alarm::new("the audit log cannot be written", "free disk space; the queued lines are written then")
    })
}

fn audit_lost_alarm(audit: &audit::Status) -> Option<Alarm> {
    (audit.lost > 0).then(|| {
        Alarm::new(
            format!("{} audit lines are lost since the start", audit.lost),
            "free disk space, or use a faster disk; the log itself says where lines are missing",
        )
    })
}
