//! Two made-up users of a template, and what their keys may do in their own folders.

use std::sync::Arc;

use super::trial::Side;
use crate::sts::{Sts, StsError, TemporaryCredential, Urgency};
use cam::Effect;
use templates::{Bucket, Grant, NoGrant, Question, Service, SyntheticClaims, TemplateSet, explain};

/// What all claims of the two are: text, and where a template wants a number, that one. The second begins with
/// the first, for the classic mistake is a policy for `users/1` that reaches `users/10/`. The numbers end below
/// 2^53, which JSON carries exactly (RFC 8259 §6), and far above any count of users.
const SHORT: SyntheticClaims<'_> =
    SyntheticClaims { text: "cosbroker-canary-1", number: 900_719_925_474_099 };
const LONG: SyntheticClaims<'_> =
    SyntheticClaims { text: "cosbroker-canary-10", number: 9_007_199_254_740_990 };

/// The object that is written, or what of its name the template leaves open.
pub(super) const NAME: &str = "cosbroker-canary";

/// What the object may say it is: templates ask for images, as a rule, if for anything.
const CONTENT_TYPES: [&str; 6] =
    ["text/plain", "image/png", "video/mp4", "audio/mpeg", "application/pdf", "application/json"];

/// The grants of the two.
#[derive(Debug)]
pub(super) struct Pair {
    short: Arc<Grant>,
    long: Arc<Grant>,
}

/// Why a template cannot be tried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unfit {
    /// It grants nothing to somebody made up.
    #[error("the template `{template}` grants made-up users nothing: {why}")]
    NoGrant {
        /// The template.
        template: String,
        /// Why.
        why: NoGrant,
    },
    /// Both have one folder.
    #[error("the template `{0}` gives two made-up users one folder")]
    OneHome(String),
    /// Nothing can be written with its keys.
    #[error("the template `{0}` lets made-up users write nothing, as far as can be told without asking COS")]
    NoWrite(String),
}

/// How its own folder's objects are named and written, under one template.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    /// A key, with `*` where anything may stand.
    pattern: String,
    pub(super) content_type: &'static str,
}

impl Objects {
    /// The key of an object of this name.
    pub(super) fn key(&self, name: &str) -> String {
        self.pattern.replace('*', name)
    }

    /// Whether there can be more than one.
    pub(super) fn are_many(&self) -> bool {
        self.pattern.contains('*')
    }
}

impl Pair {
    /// Makes the two up.
    pub(super) fn new(templates: &TemplateSet, template: &str, issuer: &str) -> Result<Self, Unfit> {
        let grant = |who| {
            let unfit = |why| Unfit::NoGrant { template: template.to_owned(), why };
            templates.synthetic_grant(template, issuer, who).map_err(unfit)
        };
        let pair = Self { short: grant(SHORT)?, long: grant(LONG)? };
        if pair.short.home() == pair.long.home() {
            return Err(Unfit::OneHome(template.to_owned()));
        }
        Ok(pair)
    }

    pub(super) fn grant(&self, side: Side) -> &Arc<Grant> {
        match side {
            Side::Short => &self.short,
            Side::Long => &self.long,
        }
    }

    /// Both have the template's.
    pub(super) fn bucket(&self) -> &Bucket {
        self.short.bucket()
    }

    pub(super) fn home(&self, side: Side) -> &str {
        self.grant(side).home()
    }

    /// How this one may do `action` in their own folder, if at all.
    pub(super) fn objects(&self, side: Side, action: &str) -> Option<Objects> {
        let grant = self.grant(side);
        let start = grant.bucket().resource(Service::Cos);
        let allows = grant.policy().policy().statement.iter().filter(|statement| {
            statement.effect == Effect::Allow && statement.action.iter().any(|one| one == action)
        });
        let patterns = allows.flat_map(|statement| &statement.resource);
        let own = patterns.filter_map(|resource| {
            resource.strip_prefix(&start).filter(|pattern| pattern.starts_with(grant.home()))
        });
        own.flat_map(|pattern| {
            CONTENT_TYPES.map(|content_type| Objects { pattern: pattern.to_owned(), content_type })
        })
        .find(|objects| self.may(side, action, &objects.key(NAME), Some(objects.content_type), None))
    }

    /// Whether the policy of this one allows it.
    pub(super) fn may(
        &self,
        side: Side,
        action: &str,
        key: &str,
        content_type: Option<&str>,
        acl: Option<&str>,
    ) -> bool {
        let secure = [("cos:secure-transport".to_owned(), "true".to_owned())];
        let written = body_of(side).len() as u64;
        let question =
            Question { action, key, size: Some(written), content_type, ip: None, acl, more: &secure };
        explain(self.grant(side), &question).allowed
    }

    /// Has STS make a key for each, and tells of each that is made.
    pub(super) async fn keys(
        &self,
        sts: &dyn Sts,
        made: impl Fn(&Arc<Grant>, &TemporaryCredential),
    ) -> Result<Keys, StsError> {
        let issue = async |grant: &Arc<Grant>| {
            // Users go first.
            let key = sts.issue(Arc::clone(grant), Urgency::Background, None).await?;
            made(grant, &key);
            Ok(key)
        };
        let (short, long) = futures::join!(issue(&self.short), issue(&self.long));
        Ok(Keys { short: short?, long: long? })
    }
}

/// A key for each.
#[derive(Debug)]
pub(super) struct Keys {
    short: TemporaryCredential,
    long: TemporaryCredential,
}

impl Keys {
    pub(super) fn of(&self, side: Side) -> &TemporaryCredential {
        match side {
            Side::Short => &self.short,
            Side::Long => &self.long,
        }
    }
}

/// What this one writes.
pub(super) fn body_of(side: Side) -> &'static str {
    match side {
        Side::Short => "written by cosbroker's first made-up user\n",
        Side::Long => "written by cosbroker's second made-up user\n",
    }
}
