//! Two synthetic users of a template, and what their credentials allow in their own folders.

use std::sync::Arc;

use crate::sts::{IssueRequest, Priority, Sts, StsError, TemporaryCredential};
use cam::Effect;
use templates::{Bucket, Grant, NoGrant, Question, Service, SyntheticClaims, TemplateSet, explain};

/// One of the two synthetic users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// The user whose name is the beginning of the other's.
    Short,
    Long,
}

/// The name of the long user begins with that of the short one, because the classic mistake is a policy for
/// `users/1` that reaches `users/10/`. The numbers are below 2^53, which JSON carries exactly (RFC 8259 §6), and
/// far above any number of real users.
const SHORT_CLAIMS: SyntheticClaims<'static> =
    SyntheticClaims { text: "cosbroker-canary-1", number: 900_719_925_474_099 };
const LONG_CLAIMS: SyntheticClaims<'static> =
    SyntheticClaims { text: "cosbroker-canary-10", number: 9_007_199_254_740_990 };

/// The name of a written object, or of the part that the template leaves open.
pub(super) const OBJECT_NAME: &str = "cosbroker-canary";

/// Content types that a template may require; images are the most common.
const CONTENT_TYPES: [&str; 6] =
    ["text/plain", "image/png", "video/mp4", "audio/mpeg", "application/pdf", "application/json"];

impl User {
    pub(super) const BOTH: [Self; 2] = [Self::Short, Self::Long];

    #[must_use]
    pub(super) fn other(self) -> Self {
        match self {
            Self::Short => Self::Long,
            Self::Long => Self::Short,
        }
    }

    /// Returns the content of the objects that this user writes.
    pub(super) fn object_body(self) -> &'static str {
        match self {
            Self::Short => "written by cosbroker's first synthetic user\n",
            Self::Long => "written by cosbroker's second synthetic user\n",
        }
    }
}

/// The grants of the two users under one template.
#[derive(Debug)]
pub(super) struct SyntheticUsers {
    short: Arc<Grant>,
    long: Arc<Grant>,
}

/// Why isolation cannot be checked with a template.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unfit {
    /// The template grants nothing to a synthetic user.
    #[error("the template `{template}` grants synthetic users nothing: {why}")]
    NoGrant {
        /// The name of the template.
        template: String,
        /// Why there is no grant.
        why: NoGrant,
    },
    /// The template gives both users one folder.
    #[error("the template `{0}` gives two synthetic users the same folder")]
    OneHome(String),
    /// The template allows no write.
    #[error(
        "the template `{0}` lets synthetic users write nothing, as far as can be told without calling COS"
    )]
    NoWrite(String),
}

/// The objects that a user may use an action on.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    /// A key, with `*` where any text may stand.
    pattern: String,
    pub(super) content_type: &'static str,
}

impl Objects {
    pub(super) fn key(&self, name: &str) -> String {
        self.pattern.replace('*', name)
    }

    /// Returns whether there can be more than one object.
    pub(super) fn are_many(&self) -> bool {
        self.pattern.contains('*')
    }
}

impl SyntheticUsers {
    pub(super) fn new(templates: &TemplateSet, template: &str, issuer: &str) -> Result<Self, Unfit> {
        let short = grant(templates, template, issuer, SHORT_CLAIMS)?;
        let long = grant(templates, template, issuer, LONG_CLAIMS)?;
        if short.home() == long.home() {
            return Err(Unfit::OneHome(template.to_owned()));
        }
        Ok(Self { short, long })
    }

    fn grant(&self, user: User) -> &Arc<Grant> {
        match user {
            User::Short => &self.short,
            User::Long => &self.long,
        }
    }

    pub(super) fn bucket(&self) -> &Bucket {
        self.short.bucket()
    }

    pub(super) fn home(&self, user: User) -> &str {
        self.grant(user).home()
    }

    pub(super) fn cannot_write(&self) -> Unfit {
        Unfit::NoWrite(self.short.template_name().to_owned())
    }

    /// Returns the objects in a user's own folder on which the user may use an action, if there are any.
    pub(super) fn own_objects(&self, user: User, action: &str) -> Option<Objects> {
        let grant = self.grant(user);
        let start = grant.bucket().resource(Service::Cos);
        let policy = grant.policy().policy();
        let allows = policy.statement.iter().filter(|statement| {
            statement.effect == Effect::Allow && statement.action.iter().any(|one| one == action)
        });
        let patterns = allows.flat_map(|statement| &statement.resource);
        let own = patterns.filter_map(|resource| {
            resource.strip_prefix(&start).filter(|pattern| pattern.starts_with(grant.home()))
        });
        own.flat_map(|pattern| {
            CONTENT_TYPES.map(|content_type| Objects { pattern: pattern.to_owned(), content_type })
        })
        .find(|objects| {
            self.is_allowed(user, action, &objects.key(OBJECT_NAME), Some(objects.content_type), None)
        })
    }

    /// Returns whether a user's policy allows a request.
    pub(super) fn is_allowed(
        &self,
        user: User,
        action: &str,
        key: &str,
        content_type: Option<&str>,
        acl: Option<&str>,
    ) -> bool {
        let secure = [("cos:secure-transport".to_owned(), "true".to_owned())];
        let size = Some(user.object_body().len() as u64);
        let question = Question { action, key, size, content_type, ip: None, acl, more: &secure };
        explain(self.grant(user), &question).allowed
    }

    /// Issues a credential for each user. Calls `on_issue` for each that is issued.
    pub(super) async fn credentials(
        &self,
        sts: &dyn Sts,
        on_issue: impl Fn(&Arc<Grant>, &TemporaryCredential),
    ) -> Result<Credentials, StsError> {
        let (short, long) =
            futures::join!(issue(sts, &self.short, &on_issue), issue(sts, &self.long, &on_issue));
        Ok(Credentials { short: short?, long: long? })
    }
}

fn grant(
    templates: &TemplateSet,
    template: &str,
    issuer: &str,
    claims: SyntheticClaims<'_>,
) -> Result<Arc<Grant>, Unfit> {
    templates
        .synthetic_grant(template, issuer, claims)
        .map_err(|why| Unfit::NoGrant { template: template.to_owned(), why })
}

async fn issue(
    sts: &dyn Sts,
    grant: &Arc<Grant>,
    on_issue: &impl Fn(&Arc<Grant>, &TemporaryCredential),
) -> Result<TemporaryCredential, StsError> {
    // Requests of real users go before background calls.
    let credential = sts.issue(IssueRequest::new(Arc::clone(grant), Priority::Refresh)).await?;
    on_issue(grant, &credential);
    Ok(credential)
}

/// The credentials of the two users.
#[derive(Debug)]
pub(super) struct Credentials {
    short: TemporaryCredential,
    long: TemporaryCredential,
}

impl Credentials {
    pub(super) fn of(&self, user: User) -> &TemporaryCredential {
        match user {
            User::Short => &self.short,
            User::Long => &self.long,
        }
    }
}
