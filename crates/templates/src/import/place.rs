//! Where a CAM resource points: service, bucket, region and key, in today's spelling and the older one.

use crate::{proof::unplain, template::Service, text::Text};

/// A resource taken apart. What it leaves open is `None`: it means all of them.
#[derive(Debug)]
pub(super) struct Place {
    /// As it was written.
    pub written: String,
    /// Objects, or data processing.
    pub service: Option<Service>,
    /// With its appid.
    pub bucket: Option<String>,
    /// Such as `ap-guangzhou`.
    pub region: Option<String>,
    /// The pattern of keys in the bucket.
    pub key: Key,
}

/// A pattern of keys, by whether a template can say it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// As it stands; empty where the resource is the bucket itself.
    Plain(String),
    /// A variable of CAM such as `${uin}` tells the callers apart, as a home does.
    Callers {
        /// The literal folder before it.
        folder: String,
        /// What follows the variable's own folder, where it is one.
        rest: Option<String>,
    },
    /// Not at all, and why.
    Unusable(String),
}

impl Place {
    /// Takes a resource apart.
    ///
    /// # Errors
    /// Why it is none that a template could have.
    pub(super) fn read(written: &str) -> Result<Self, String> {
        let place = |service, bucket: Option<String>, region: &str, key: &str| Self {
            written: written.to_owned(),
            service,
            bucket,
            region: Some(region).filter(|region| !matches!(*region, "" | "*")).map(str::to_owned),
            key: Key::read(key),
        };
        if written == "*" {
            return Ok(place(None, None, "", "*"));
        }
        let segments: Vec<&str> = written.splitn(6, ':').collect();
        let &["qcs", _project, service, region, _account, path] = segments.as_slice() else {
            return Err(
                "it is not `*` nor of six segments, qcs::cos:<region>:uid/<appid>:<bucket>/<key>".to_owned()
            );
        };
        let (service, path) = match service {
            "cos" => (Some(Service::Cos), path),
            "ci" if path == "*" => (Some(Service::Ci), path),
            "ci" => (
                Some(Service::Ci),
                path.strip_prefix("bucket/").ok_or("data processing names `bucket/<bucket>/<path>`")?,
            ),
            "" | "*" => (None, path),
            _ => return Err("it is of another service than COS".to_owned()),
        };
        let (bucket, key) = match path.strip_prefix("prefix//") {
            Some(older) => older_spelling(older)?,
            None => match path.split_once('/') {
                Some((bucket, key)) => (bucket.to_owned(), key),
                None if path.contains('*') => (path.to_owned(), "*"),
                None => (path.to_owned(), ""),
            },
        };
        match bucket.as_str() {
            "" => Err("it names no bucket".to_owned()),
            several if several.contains('*') => Ok(place(service, None, region, key)),
            _ => Ok(place(service, Some(bucket), region, key)),
        }
    }

    /// Whether it is of a service, or of all.
    pub(super) fn is_of(&self, service: Service) -> bool {
        self.service.is_none_or(|own| own == service)
    }
}

/// `<appid>/<bucket without appid>/<key>`, which the vendor's Node SDK still writes.
fn older_spelling(path: &str) -> Result<(String, &str), String> {
    let (appid, rest) = path.split_once('/').ok_or("after prefix// stand an appid, a bucket and a key")?;
    let (short, key) = rest.split_once('/').unwrap_or((rest, ""));
    if short.is_empty() || short.contains('*') {
        return Ok((short.to_owned(), key));
    }
    let bucket =
        if short.ends_with(&format!("-{appid}")) { short.to_owned() } else { format!("{short}-{appid}") };
    Ok((bucket, key))
}

impl Key {
    fn read(key: &str) -> Self {
        if let Some((before, after)) = key.split_once("${") {
            let rest = after.split_once('}').and_then(|(_, after)| after.strip_prefix('/'));
            let own = before.is_empty() || before.ends_with('/');
            return match fault(before) {
                Some(why) => Self::Unusable(why),
                None => Self::Callers {
                    folder: folder(before),
                    rest: rest.filter(|rest| own && fault(rest).is_none()).map(str::to_owned),
                },
            };
        }
        fault(key).map_or_else(|| Self::Plain(key.to_owned()), Self::Unusable)
    }

    /// The literal folder that everything it matches lies under; empty, or ending in `/`.
    pub(super) fn folder(&self) -> Option<String> {
        match self {
            Self::Plain(key) => Some(folder(key)),
            Self::Callers { folder, .. } => Some(folder.clone()),
            Self::Unusable(_) => None,
        }
    }
}

/// The folder of a pattern's literal beginning.
pub(super) fn folder(pattern: &str) -> String {
    let literal = pattern.split('*').next().unwrap_or_default();
    literal.rsplit_once('/').map_or_else(String::new, |(folder, _)| format!("{folder}/"))
}

/// Why a template cannot say a literal or a pattern, if it cannot.
pub(super) fn fault(text: &str) -> Option<String> {
    match Text::parse(text, None) {
        Ok(parsed) if parsed.as_literal().is_some() => {
            unplain(&parsed).map(|(message, _)| format!("it {message}"))
        }
        _ => Some("it holds `$`, `{` or `}`".to_owned()),
    }
}
