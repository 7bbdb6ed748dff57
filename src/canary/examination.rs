//! Goes through the long list for an operator, and cleans up.

use std::sync::Arc;

use url::Url;

use super::{
    client::{Client, NoClient},
    pair::{Keys, Pair, Unfit},
    request::Request,
    trial::{Expected, Side, Trial, Verdict},
    tricks,
};
use crate::sts::{Sts, StsError};
use runtime::{clock::Clock, entropy::Entropy};
use templates::TemplateSet;

/// Tries all that is known on one template after another.
#[derive(Debug)]
pub struct Examination {
    client: Client,
    sts: Arc<dyn Sts>,
    clock: Arc<dyn Clock>,
    /// The issuer that the made-up users are said to be of.
    issuer: String,
    /// Names this run's objects.
    run: String,
}

/// Why nothing could be tried.
#[derive(Debug, thiserror::Error)]
pub enum CannotExamine {
    /// With this template.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// For want of keys.
    #[error("no key for a made-up user: {0}")]
    Sts(#[from] StsError),
}

/// What was found of one template.
#[derive(Debug)]
pub struct Examined {
    /// The folders of the two.
    pub homes: [String; 2],
    /// What was tried.
    pub rows: Vec<Row>,
    /// What could not be, in words.
    pub untried: Vec<&'static str>,
    /// Objects that are still there, by their paths.
    pub left: Vec<String>,
}

/// One try.
#[derive(Debug)]
pub struct Row {
    /// In words.
    pub tried: String,
    /// What had to come of it.
    pub expected: String,
    /// What did.
    pub seen: String,
    /// What that shows.
    pub verdict: Verdict,
}

impl Examination {
    /// Nothing is tried yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn new(
        endpoint: Option<Url>,
        sts: Arc<dyn Sts>,
        issuer: String,
        clock: Arc<dyn Clock>,
        entropy: &dyn Entropy,
    ) -> Result<Self, NoClient> {
        let run = entropy.name().chars().take(8).collect();
        Ok(Self { client: Client::new(endpoint)?, sts, clock, issuer, run })
    }

    /// Tries one template's keys.
    ///
    /// # Errors
    /// When there are none to try.
    pub async fn of(&self, templates: &TemplateSet, template: &str) -> Result<Examined, CannotExamine> {
        let pair = Pair::new(templates, template, &self.issuer)?;
        let keys = pair.keys(&*self.sts, |_, _| {}).await?;
        let (trials, untried) = tricks::trials(&pair, &self.run);
        let (mut rows, mut written) = (Vec::new(), Written(Vec::new()));
        for trial in trials {
            let (verdict, seen) = self.tried(&pair, &keys, &trial, &mut written).await;
            let whose = match trial.by {
                Some(Side::Short) => "1: ",
                Some(Side::Long) => "10: ",
                None => "",
            };
            let tried = format!("{whose}{}", trial.name);
            rows.push(Row { tried, expected: trial.expected.to_string(), seen, verdict });
        }
        let left = self.clean_up(&pair, &keys, written).await;
        let homes = [Side::Short, Side::Long].map(|side| pair.home(side).to_owned());
        Ok(Examined { homes, rows, untried, left })
    }

    async fn tried(
        &self,
        pair: &Pair,
        keys: &Keys,
        trial: &Trial,
        written: &mut Written,
    ) -> (Verdict, String) {
        let send = async |by: Option<Side>, request| {
            let key = by.map(|side| keys.of(side));
            self.client.send(pair.bucket(), request, key, &*self.clock).await
        };
        let answer = match send(trial.by, &trial.request).await {
            Ok(answer) => answer,
            Err(unanswered) => return (Verdict::Unclear, unanswered.to_string()),
        };
        let (verdict, seen) = (trial.expected.judge(&answer), answer.to_string());
        let succeeded = (200..300).contains(&answer.status);
        // Without a key, it lies where the other's own is.
        if let Some(side) = trial.by.filter(|_| succeeded) {
            written.note(side, &trial.request);
        }
        let (Expected::NotThere(proof), Some(side), true) = (&trial.expected, trial.by, succeeded) else {
            return (verdict, seen);
        };
        written.note(side.other(), proof);
        match send(Some(side.other()), proof).await {
            Err(unanswered) => (Verdict::Unclear, format!("{seen}, then {unanswered}")),
            Ok(answer) => match Expected::judge_proof(&answer) {
                Verdict::Good => (Verdict::Good, format!("{seen}, as a name in one's own folder")),
                verdict => (verdict, format!("{seen}, then for the other {answer}")),
            },
        }
    }

    /// What could not be deleted.
    async fn clean_up(&self, pair: &Pair, keys: &Keys, Written(written): Written) -> Vec<String> {
        let mut left = Vec::new();
        for (side, request) in written {
            let delete = Request {
                method: "DELETE",
                query: Vec::new(),
                headers: Vec::new(),
                body: String::new(),
                ..request
            };
            let answer = self.client.send(pair.bucket(), &delete, Some(keys.of(side)), &*self.clock).await;
            if !answer.is_ok_and(|answer| matches!(answer.status, 200..=299 | 404)) {
                left.push(delete.path);
            }
        }
        left
    }
}

/// Objects that may be there because of us, and whose key wrote them.
struct Written(Vec<(Side, Request)>);

impl Written {
    fn note(&mut self, side: Side, request: &Request) {
        let is_known = self.0.iter().any(|(_, one)| one.path == request.path);
        if ["PUT", "POST"].contains(&request.method) && !is_known {
            self.0.push((side, request.clone()));
        }
    }
}
