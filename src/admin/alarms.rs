//! Alarms: the parts of the state that an operator must act on, and since when.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    history::Rates,
    status::{Issuer, Replicas, Sts},
};
use crate::{audit, canary, sts::BreakerState};

/// The share of the STS quota whose use raises an alarm.
const QUOTA_ALARM_RATIO: f64 = 0.8;

/// Something that is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Alarm {
    #[serde(skip)]
    pub(super) kind: AlarmKind,
    pub(super) what: String,
    pub(super) help: &'static str,
    pub(super) severity: Severity,
    /// When it was first seen; none before that is known.
    pub(super) since: Option<Timestamp>,
}

/// How urgent an alarm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Users are affected, or one reaches what is another's.
    Critical,
    /// It will become critical, or something is lost meanwhile.
    Warning,
}

impl Severity {
    /// The severity as the API and the page have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AlarmKind {
    Isolation,
    OwnAccess,
    Failing,
    Circuit,
    Issuer,
    StsFailures,
    Throttling,
    Quota,
    Templates,
    Revocations,
    RedisUnused,
    TemplatesOutdated,
    RedisValues,
    RevocationsUnannounced,
    AuditFailing,
    AuditLost,
}

impl AlarmKind {
    fn severity(self) -> Severity {
        match self {
            Self::Isolation | Self::OwnAccess | Self::Failing | Self::Circuit | Self::Issuer => {
                Severity::Critical
            }
            Self::StsFailures
            | Self::Throttling
            | Self::Quota
            | Self::Templates
            | Self::Revocations
            | Self::RedisUnused
            | Self::TemplatesOutdated
            | Self::RedisValues
            | Self::RevocationsUnannounced
            | Self::AuditFailing
            | Self::AuditLost => Severity::Warning,
        }
    }
}

impl Alarm {
    fn new(kind: AlarmKind, what: impl Into<String>, help: &'static str) -> Self {
        Self { kind, what: what.into(), help, severity: kind.severity(), since: None }
    }
}

/// When each active alarm was first seen.
#[derive(Debug, Default)]
pub(super) struct AlarmStarts(Mutex<BTreeMap<AlarmKind, Timestamp>>);

impl AlarmStarts {
    /// Sets since when alarms are active, and forgets those that are over.
    pub(super) fn date(&self, alarms: &mut [Alarm], now: Timestamp) {
        let mut starts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        starts.retain(|kind, _| alarms.iter().any(|alarm| alarm.kind == *kind));
        for alarm in alarms {
            alarm.since = Some(*starts.entry(alarm.kind).or_insert(now));
        }
    }

    /// Returns the severity of the most severe alarm that was active when alarms were last looked at.
    pub(super) fn most_severe(&self) -> Option<Severity> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().map(|kind| kind.severity()).min()
    }

    /// Whether an alarm of this kind was active when alarms were last looked at.
    pub(super) fn has(&self, kind: AlarmKind) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&kind)
    }
}

/// What alarms depend on.
#[derive(Debug)]
pub(super) struct Conditions<'a> {
    /// The rates of the last minute; none right after the start.
    pub(super) rates: Option<&'a Rates>,
    pub(super) sts: &'a Sts,
    pub(super) issuers: &'a [Issuer],
    pub(super) template_problems: &'a [String],
    pub(super) revocations_unsaved: bool,
    pub(super) audit: Option<&'a audit::Status>,
    pub(super) canary: Option<&'a canary::Snapshot>,
    pub(super) replicas: Option<&'a Replicas>,
}

impl Conditions<'_> {
    /// Returns the active alarms, the most severe first.
    pub(super) fn alarms(&self) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        alarms.extend(self.canary.and_then(isolation_alarm));
        alarms.extend(self.canary.and_then(own_access_alarm));
        alarms.extend(self.failing_alarm());
        alarms.extend(self.breaker_alarm());
        alarms.extend(self.issuers.iter().filter(|issuer| !issuer.ready).map(issuer_alarm));
        alarms.extend(self.sts_failures_alarm());
        alarms.extend(self.throttling_alarm());
        alarms.extend(self.quota_alarm());
        alarms.extend(self.templates_alarm());
        alarms.extend(self.revocations_alarm());
        alarms.extend(self.replicas.into_iter().flat_map(replicas_alarms));
        alarms.extend(self.audit.and_then(audit_failing_alarm));
        alarms.extend(self.audit.and_then(audit_lost_alarm));
        alarms
    }

    fn failing_alarm(&self) -> Option<Alarm> {
        let rates = self.rates.filter(|rates| rates.server_errors_per_second > 0.0)?;
        let failing = (rates.server_errors_per_second / rates.requests_per_second * 100.0).clamp(0.1, 100.0);
        Some(Alarm::new(
            AlarmKind::Failing,
            format!(
                "{failing:.1} % of the requests of the last minute got no key, through no fault of the callers"
            ),
            "see the refusals with a status of 500 or more below for their causes",
        ))
    }

    fn breaker_alarm(&self) -> Option<Alarm> {
        (self.sts.breaker != BreakerState::Closed).then(|| {
            Alarm::new(
                AlarmKind::Circuit,
                "the circuit to STS is open, because its latest calls failed: users without a cached key get 503",
                "see the refusals below and the log for what STS responded; calls start again by themselves once STS works",
            )
        })
    }

    fn sts_failures_alarm(&self) -> Option<Alarm> {
        let rates = self.rates.filter(|rates| rates.sts_failures_per_second > 0.0)?;
        // Some is never shown as none.
        let failed = (rates.sts_failures_per_second / rates.sts_calls_per_second * 100.0).max(0.1);
        Some(Alarm::new(
            AlarmKind::StsFailures,
            format!("{failed:.1} % of the calls to STS failed in the last minute"),
            "see the codes in cosbroker_sts_calls_total: correct source credentials or templates that STS rejects; other failures are retried",
        ))
    }

    fn throttling_alarm(&self) -> Option<Alarm> {
        let (allowed, limit) = (self.sts.quota_allowed, self.sts.quota_limit);
        (allowed < limit).then(|| {
            Alarm::new(
                AlarmKind::Throttling,
                format!("STS throttles this account: {allowed} of {limit} calls a second are made"),
                "other services use the account's quota; lower sts.calls_per_second or ask Tencent for a higher quota",
            )
        })
    }

    fn quota_alarm(&self) -> Option<Alarm> {
        let allowed = self.sts.quota_allowed;
        let used = self.rates?.sts_calls_per_second;
        (used > QUOTA_ALARM_RATIO * f64::from(allowed)).then(|| {
            Alarm::new(
                AlarmKind::Quota,
                format!("more than 80 % of the quota of {allowed} STS calls a second is used"),
                "raise sts.calls_per_second if the account's quota is higher, or give keys a longer lifetime",
            )
        })
    }

    fn templates_alarm(&self) -> Option<Alarm> {
        let problem = self.template_problems.first()?;
        Some(Alarm::new(
            AlarmKind::Templates,
            format!("the templates' folder is refused, and the last good set stays active: {problem}"),
            "correct the file",
        ))
    }

    fn revocations_alarm(&self) -> Option<Alarm> {
        self.revocations_unsaved.then(|| {
            Alarm::new(
                AlarmKind::Revocations,
                "the last revocation ends with this process: limits.revoked_file cannot be written",
                "free disk space or grant write access to its folder, then revoke again: that writes all revoked users",
            )
        })
    }
}

fn isolation_alarm(canary: &canary::Snapshot) -> Option<Alarm> {
    let breach = canary.breach.as_ref()?;
    Some(Alarm::new(
        AlarmKind::Isolation,
        format!("ISOLATION IS BROKEN: one synthetic user reached the objects of another: {breach}"),
        "check the bucket's policy and ACL and run cosbroker verify-isolation; if the bucket is not public, stop this broker",
    ))
}

fn own_access_alarm(canary: &canary::Snapshot) -> Option<Alarm> {
    let run = canary.last.as_ref().filter(|run| run.outcome == canary::RunOutcome::OwnDenied)?;
    let cause = run.why.as_deref().unwrap_or("see the log");
    Some(Alarm::new(
        AlarmKind::OwnAccess,
        format!("COS denies what a template grants, so users cannot write: {cause}"),
        "check the permissions of the source credentials, the bucket's policy, and the bucket and region that the template names",
    ))
}

fn issuer_alarm(issuer: &Issuer) -> Alarm {
    Alarm::new(
        AlarmKind::Issuer,
        format!("tokens of {} cannot be verified: its key set cannot be fetched", issuer.name),
        "check that its jwks_url responds from here; the log has the error",
    )
}

fn replicas_alarms(replicas: &Replicas) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    if let Some(problem) = &replicas.problem {
        alarms.push(Alarm::new(
            AlarmKind::RedisUnused,
            format!(
                "Redis is not used, and this replica goes on alone with {} calls to STS a second: {problem}",
                replicas.quota_alone
            ),
            "check Redis and the network; it is used again by itself",
        ));
    }
    if replicas.templates_outdated {
        alarms.push(Alarm::new(
            AlarmKind::TemplatesOutdated,
            "another replica serves a later version of the templates",
            "update the templates of this one; while a new version is rolled out, this is expected",
        ));
    }
    if replicas.values_refused > 0 {
        alarms.push(Alarm::new(
            AlarmKind::RedisValues,
            format!("{} values in Redis were not ours, altered or moved, and were not used", replicas.values_refused),
            "find out who else writes to this Redis under redis.key_prefix, or with which key other replicas encrypt",
        ));
    }
    if replicas.revocations_unannounced > 0 {
        alarms.push(Alarm::new(
            AlarmKind::RevocationsUnannounced,
            format!("{} revocations are not known to the other replicas", replicas.revocations_unannounced),
            "until Redis is used again, revoke the users at each replica",
        ));
    }
    alarms
}

fn audit_failing_alarm(audit: &audit::Status) -> Option<Alarm> {
    audit.failing.then(|| {
        Alarm::new(
            AlarmKind::AuditFailing,
            "the audit log cannot be written",
            "free disk space; the queued lines are written then",
        )
    })
}

fn audit_lost_alarm(audit: &audit::Status) -> Option<Alarm> {
    (audit.lost > 0).then(|| {
        Alarm::new(
            AlarmKind::AuditLost,
            format!("{} audit lines are lost since the start", audit.lost),
            "free disk space, or use a faster disk; the log itself says where lines are missing",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_says_since_when_it_is_active_and_starts_anew_after_it_was_over() {
        let starts = AlarmStarts::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let since = |second| {
            let mut alarms = [Alarm::new(AlarmKind::Quota, "used up", "wait")];
            starts.date(&mut alarms, at(second));
            alarms[0].since
        };
        assert_eq!((since(10), since(20)), (Some(at(10)), Some(at(10))));
        assert!(starts.has(AlarmKind::Quota));
        assert_eq!(starts.most_severe(), Some(Severity::Warning));
        starts.date(&mut [], at(30));
        assert_eq!(since(40), Some(at(40)));
    }
}
