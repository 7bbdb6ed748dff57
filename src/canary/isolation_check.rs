//! Sends the long list of probes once, for an operator, and cleans up.

use std::sync::Arc;

use url::Url;

use super::{
    attack_cases,
    client::{Client, NoClient, Unanswered},
    probe::{Expected, Probe, Verdict, verdict_of_other_write},
    processing_cases::PICTURE,
    request::{Answer, Request},
    synthetic_users::{Credentials, SyntheticUsers, Unfit, User},
};
use crate::{
    config::Network,
    sts::{Sts, StsError},
};
use runtime::{clock::Clock, entropy::Entropy};
use templates::TemplateSet;

/// The number of characters that make the object names of a run unique.
const RUN_ID_CHARS: usize = 8;

/// Checks isolation with every known attack, one template at a time.
#[derive(Debug)]
pub struct IsolationCheck {
    client: Client,
    sts: Arc<dyn Sts>,
    clock: Arc<dyn Clock>,
    issuer: String,
    /// A part of the names of this run's objects.
    run_id: String,
}

/// Why a template could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum CannotCheck {
    /// The template is not fit for it.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// STS issued no credentials.
    #[error("no key for a synthetic user: {0}")]
    Sts(#[from] StsError),
}

/// The result for one template.
#[derive(Debug)]
pub struct IsolationReport {
    /// The folders of the two users.
    pub homes: [String; 2],
    /// The result of each probe.
    pub rows: Vec<ReportRow>,
    /// What could not be probed, in words.
    pub untried: Vec<&'static str>,
    /// The paths of written objects that could not be deleted.
    pub left: Vec<String>,
}

/// The result of one probe, in words.
#[derive(Debug)]
pub struct ReportRow {
    /// What the request tried.
    pub tried: String,
    /// What had to come of it.
    pub expected: String,
    /// What came of it.
    pub seen: String,
    /// What that shows.
    pub verdict: Verdict,
}

impl IsolationCheck {
    /// Returns a check whose synthetic users belong to `issuer`.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub fn new(
        endpoint: Option<Url>,
        network: &Network,
        sts: Arc<dyn Sts>,
        issuer: String,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<Self, NoClient> {
        let run_id = entropy.hex_id().chars().take(RUN_ID_CHARS).collect();
        Ok(Self { client: Client::new(endpoint, network)?, sts, clock, issuer, run_id })
    }

    /// Checks one template.
    ///
    /// # Errors
    /// When the template or STS gives the synthetic users no credentials.
    pub async fn run(&self, templates: &TemplateSet, template: &str) -> Result<IsolationReport, CannotCheck> {
        let users = SyntheticUsers::new(templates, template, &self.issuer)?;
        let credentials = users.credentials(&*self.sts, |_, _| {}).await?;
        let cases = attack_cases::cases(&users, &self.run_id);
        let mut check =
            TemplateCheck { check: self, users: &users, credentials: &credentials, written: Vec::new() };
        let mut rows = Vec::new();
        for probe in cases.probes {
            rows.push(check.row(probe).await);
        }
        let left = check.clean_up().await;
        let homes = User::BOTH.map(|user| users.home(user).to_owned());
        Ok(IsolationReport { homes, rows, untried: cases.untried, left })
    }
}

/// The check of one template.
struct TemplateCheck<'a> {
    check: &'a IsolationCheck,
    users: &'a SyntheticUsers,
    credentials: &'a Credentials,
    /// Requests that may have written an object, each with the user who may delete it.
    written: Vec<(User, Request)>,
}

impl TemplateCheck<'_> {
    async fn row(&mut self, probe: Probe) -> ReportRow {
        let (verdict, seen) = self.send_probe(&probe).await;
        let user = match probe.by {
            Some(User::Short) => "1: ",
            Some(User::Long) => "10: ",
            None => "",
        };
        let tried = format!("{user}{}", probe.name);
        ReportRow { tried, expected: probe.expected.to_string(), seen, verdict }
    }

    async fn send_probe(&mut self, probe: &Probe) -> (Verdict, String) {
        let request = match self.prepared(probe).await {
            Ok(request) => request,
            Err(seen) => return (Verdict::Inconclusive, seen),
        };
        let answer = match self.send(probe.by, &request).await {
            Ok(answer) => answer,
            Err(unanswered) => return (Verdict::Inconclusive, unanswered.to_string()),
        };
        let (verdict, seen) = (probe.expected.verdict(&answer), answer.to_string());
        // An unsigned write is about the other user's object, which is deleted anyway.
        let Some(user) = probe.by.filter(|_| answer.is_success()) else {
            return (verdict, seen);
        };
        self.note_written(user, &probe.request);
        match &probe.expected {
            Expected::NotInOtherHome(proof) => self.send_proof(user.other(), proof, &seen).await,
            _ => (verdict, seen),
        }
    }

    /// Returns the request of a probe. Begins the upload that it completes, if it completes one.
    async fn prepared(&self, probe: &Probe) -> Result<Request, String> {
        let request = probe.request.clone();
        if !probe.completes_upload {
            return Ok(request);
        }
        let headers = request.headers.iter().filter(|(name, _)| *name == "content-type");
        let begin = Request { method: "POST", headers: headers.cloned().collect(), ..request.delete() };
        let answer = self.send(probe.by, &begin.with_parameter("uploads", "")).await;
        let answer = answer.map_err(|unanswered| unanswered.to_string())?;
        let id = answer.upload_id().ok_or_else(|| format!("{answer}, where an upload was begun"))?;
        let part = Request { method: "PUT", ..request.delete() }
            .with_body(PICTURE)
            .with_parameter("partNumber", "1")
            .with_parameter("uploadId", id.as_str());
        let sent = self.send(probe.by, &part).await.map_err(|unanswered| unanswered.to_string())?;
        if !sent.is_success() {
            return Err(format!("{sent}, where a part was sent"));
        }
        Ok(request.with_parameter("uploadId", id))
    }

    /// Lets the other user write the object. It must not be there yet.
    async fn send_proof(&mut self, other: User, proof: &Request, seen: &str) -> (Verdict, String) {
        self.note_written(other, proof);
        match self.send(Some(other), proof).await {
            Err(unanswered) => (Verdict::Inconclusive, format!("{seen}, then {unanswered}")),
            Ok(answer) => match verdict_of_other_write(&answer) {
                Verdict::AsExpected => {
                    (Verdict::AsExpected, format!("{seen}, as a name in the user's own folder"))
                }
                verdict => (verdict, format!("{seen}, then for the other {answer}")),
            },
        }
    }

    async fn send(&self, by: Option<User>, request: &Request) -> Result<Answer, Unanswered> {
        let credential = by.map(|user| self.credentials.of(user));
        self.check.client.send(self.users.bucket(), request, credential, &*self.check.clock).await
    }

    fn note_written(&mut self, user: User, request: &Request) {
        let path = request.delete().path;
        let is_known = self.written.iter().any(|(_, one)| one.delete().path == path);
        if ["PUT", "POST"].contains(&request.method) && !is_known {
            self.written.push((user, request.clone()));
        }
    }

    /// Deletes what was written, and returns the paths of what could not be deleted.
    async fn clean_up(self) -> Vec<String> {
        let mut left = Vec::new();
        for (user, request) in &self.written {
            let delete = request.delete();
            let answer = self.send(Some(*user), &delete).await;
            if !answer.is_ok_and(|answer| answer.is_success() || answer.status == 404) {
                left.push(delete.path);
            }
        }
        left
    }
}
