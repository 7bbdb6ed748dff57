//! Parses a CAM resource into service, bucket, region and key, in today's spelling and the older one.

use super::Unsupported;
use crate::{
    proof::ambiguity,
    template::{Service, TemplateString},
};

/// A parsed resource. `None` means all.
#[derive(Debug)]
pub(super) struct ResourceRef {
    /// The resource as written.
    pub(super) written: String,
    pub(super) service: Option<Service>,
    /// The bucket's name with the appid.
    pub(super) bucket: Option<String>,
    pub(super) region: Option<String>,
    pub(super) key: KeyPattern,
}

/// A pattern of keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyPattern {
    /// A pattern that a template can have. Empty if the resource is the bucket itself.
    Plain(String),
    /// A pattern with a variable of CAM such as `${uin}`, which distinguishes callers as a home does.
    PerCaller {
        /// The literal folder before the variable.
        folder: String,
        /// What follows the variable, if the variable is a folder of its own.
        rest: Option<String>,
    },
    /// A pattern that a template cannot have.
    Unusable(Unsupported),
}

impl ResourceRef {
    /// Parses a resource.
    ///
    /// # Errors
    /// When no template could have it.
    pub(super) fn parse(written: &str) -> Result<Self, Unsupported> {
        if written == "*" {
            return Ok(Self::new(written, None, None, "", "*"));
        }
        let segments: Vec<&str> = written.splitn(6, ':').collect();
        let &["qcs", _project, service, region, _account, path] = segments.as_slice() else {
            return Err(Unsupported::new(
                "it is not `*` nor of six segments, qcs::cos:<region>:uid/<appid>:<bucket>/<key>",
            ));
        };
        let (service, path) = parse_service(service, path)?;
        let (bucket, key) = match path.strip_prefix("prefix//") {
            Some(older) => parse_older_spelling(older)?,
            None => match path.split_once('/') {
                Some((bucket, key)) => (bucket.to_owned(), key),
                None if path.contains('*') => (path.to_owned(), "*"),
                None => (path.to_owned(), ""),
            },
        };
        match bucket.as_str() {
            "" => Err(Unsupported::new("it names no bucket")),
            several if several.contains('*') => Ok(Self::new(written, service, None, region, key)),
            _ => Ok(Self::new(written, service, Some(bucket), region, key)),
        }
    }

    fn new(written: &str, service: Option<Service>, bucket: Option<String>, region: &str, key: &str) -> Self {
        Self {
            written: written.to_owned(),
            service,
            bucket,
            region: Some(region).filter(|region| !matches!(*region, "" | "*")).map(str::to_owned),
            key: KeyPattern::parse(key),
        }
    }

    /// Whether it belongs to a service, or to all.
    pub(super) fn is_of(&self, service: Service) -> bool {
        self.service.is_none_or(|own| own == service)
    }
}

fn parse_service<'a>(service: &str, path: &'a str) -> Result<(Option<Service>, &'a str), Unsupported> {
    match service {
        "cos" => Ok((Some(Service::Cos), path)),
        "ci" if path == "*" => Ok((Some(Service::Ci), path)),
        "ci" => match path.strip_prefix("bucket/") {
            Some(path) => Ok((Some(Service::Ci), path)),
            None => Err(Unsupported::new("data processing names `bucket/<bucket>/<path>`")),
        },
        "" | "*" => Ok((None, path)),
        _ => Err(Unsupported::new("it is of another service than COS")),
    }
}

/// Parses `<appid>/<bucket without appid>/<key>`, which the vendor's Node SDK still writes.
fn parse_older_spelling(path: &str) -> Result<(String, &str), Unsupported> {
    let (appid, rest) = path
        .split_once('/')
        .ok_or_else(|| Unsupported::new("after prefix// stand an appid, a bucket and a key"))?;
    let (short, key) = rest.split_once('/').unwrap_or((rest, ""));
    if short.is_empty() || short.contains('*') {
        return Ok((short.to_owned(), key));
    }
    let bucket =
        if short.ends_with(&format!("-{appid}")) { short.to_owned() } else { format!("{short}-{appid}") };
    Ok((bucket, key))
}

impl KeyPattern {
    fn parse(key: &str) -> Self {
        let Some((before, after)) = key.split_once("${") else {
            return match check_plain(key) {
                Ok(()) => Self::Plain(key.to_owned()),
                Err(why) => Self::Unusable(why),
            };
        };
        if let Err(why) = check_plain(before) {
            return Self::Unusable(why);
        }
        let rest = after.split_once('}').and_then(|(_, after)| after.strip_prefix('/'));
        let is_own_folder = before.is_empty() || before.ends_with('/');
        let rest = rest.filter(|rest| is_own_folder && check_plain(rest).is_ok());
        Self::PerCaller { folder: folder(before), rest: rest.map(str::to_owned) }
    }

    /// Returns the literal folder that contains everything the pattern matches. It is empty or ends in `/`.
    pub(super) fn folder(&self) -> Option<String> {
        match self {
            Self::Plain(key) => Some(folder(key)),
            Self::PerCaller { folder, .. } => Some(folder.clone()),
            Self::Unusable(_) => None,
        }
    }

    /// Whether it stands for a list of the whole bucket or of a folder.
    pub(super) fn is_listable(&self) -> bool {
        match self {
            Self::Plain(key) => key.is_empty() || key.ends_with('*') || folder(key) == *key,
            Self::PerCaller { .. } => true,
            Self::Unusable(_) => false,
        }
    }
}

/// Returns the folder of a pattern's literal beginning.
fn folder(pattern: &str) -> String {
    let literal = pattern.split('*').next().unwrap_or_default();
    literal.rsplit_once('/').map_or_else(String::new, |(folder, _)| format!("{folder}/"))
}

/// Checks that a template can have a literal or a pattern.
pub(super) fn check_plain(text: &str) -> Result<(), Unsupported> {
    match TemplateString::parse(text, None) {
        Ok(parsed) if parsed.as_literal().is_some() => match ambiguity(&parsed) {
            Some(advice) => Err(Unsupported::new(format!("it {}", advice.message))),
            None => Ok(()),
        },
        _ => Err(Unsupported::new("it holds `$`, `{` or `}`")),
    }
}
