//! The bucket and key of a request, named by its host or its path.

use percent_encoding::percent_decode_str;

use super::COS_DOMAINS;

/// A bucket, and the key of an object in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// The name with the appid, such as `examplebucket-1250000000`.
    pub(super) bucket: String,
    pub(super) region: String,
    /// Empty for the bucket itself.
    pub(super) key: String,
}

impl Address {
    /// Returns the address in a host and an encoded path; `None` if they name no bucket.
    ///
    /// The bucket is in the host (`<bucket>.cos.<region>.myqcloud.com`, `<bucket>.cos-internal.<region>.tencentcos.cn`,
    /// `<bucket>.cos.localhost`), or else in the
    /// path (`/<bucket>/<key>`). A host without a region gives `default_region`.
    pub(super) fn parse(host: &str, path: &str, default_region: &str) -> Option<Self> {
        let path = percent_decode_str(path.strip_prefix('/')?).decode_utf8_lossy();
        let host = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
        let mut labels = host.split('.').peekable();
        let bucket = labels.next_if(|label| is_bucket(label)).map(str::to_owned);
        let region = region_in(labels).unwrap_or(default_region).to_owned();
        if let Some(bucket) = bucket {
            return Some(Self { bucket, region, key: path.into_owned() });
        }
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        is_bucket(bucket).then(|| Self { bucket: bucket.to_owned(), region, key: key.to_owned() })
    }

    /// Returns the address of no bucket, in a host that names none (`cos.<region>.myqcloud.com`,
    /// `service.cos.myqcloud.com`).
    pub(super) fn of_service(host: &str, default_region: &str) -> Self {
        let region = region_in(host.split('.')).unwrap_or(default_region).to_owned();
        Self { bucket: String::new(), region, key: String::new() }
    }

    /// Returns the six-segment resource of a key in this bucket; of the bucket for an empty key.
    pub(super) fn resource(&self, key: &str) -> String {
        let appid = self.bucket.rsplit('-').next().unwrap_or_default();
        format!("qcs::cos:{}:uid/{appid}:{}/{key}", self.region, self.bucket)
    }
}

/// Returns the region that stands in the labels of a host, if one does.
fn region_in<'a>(labels: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    labels
        .skip_while(|label| !COS_LABELS.contains(label))
        .nth(1)
        .filter(|label| !["localhost", "accelerate", "myqcloud", "tencentcos"].contains(label))
}

/// The labels of a host before its region; the second one is for clients in the vendor's network (docs 436/6224).
const COS_LABELS: [&str; 2] = ["cos", "cos-internal"];

/// Returns the service that a host of the vendor stands for, if it is not COS: `ci` for data processing, `cos-website`
/// for static websites.
pub(super) fn other_service(host: &str) -> Option<String> {
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
    let name = COS_DOMAINS.iter().find_map(|domain| host.strip_suffix(domain))?;
    let mut labels = name.split('.').peekable();
    labels.next_if(|label| is_bucket(label));
    // `service.cos.myqcloud.com` lists all buckets.
    let label = labels.next().filter(|label| *label != "service" && !COS_LABELS.contains(label))?;
    Some(label.to_owned())
}

/// Whether a label has the form `name-appid` (docs 436/13312).
fn is_bucket(label: &str) -> bool {
    label.rsplit_once('-').is_some_and(|(name, appid)| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && appid.len() >= 5
            && appid.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, path: &str) -> Option<(String, String, String)> {
        Address::parse(host, path, "home").map(|address| (address.bucket, address.region, address.key))
    }

    #[test]
    fn the_bucket_is_in_the_host_or_in_the_path() {
        for (host, path, expected) in [
            (
                "b-1250000000.cos.ap-beijing.myqcloud.com",
                "/a/b.txt",
                ("b-1250000000", "ap-beijing", "a/b.txt"),
            ),
            ("B-1250000000.cos.ap-beijing.myqcloud.com:80", "/", ("b-1250000000", "ap-beijing", "")),
            (
                "b-1250000000.cos.localhost:5002",
                "/c-1250000000/d",
                ("b-1250000000", "home", "c-1250000000/d"),
            ),
            ("b-1250000000.cos.ap-beijing.localhost", "/d", ("b-1250000000", "ap-beijing", "d")),
            ("b-1250000000.cos-internal.ap-beijing.tencentcos.cn", "/d", ("b-1250000000", "ap-beijing", "d")),
            ("b-1250000000.cos.accelerate.myqcloud.com", "/d", ("b-1250000000", "home", "d")),
            ("127.0.0.1:5002", "/b-1250000000/a%20%2Fb", ("b-1250000000", "home", "a /b")),
            ("127.0.0.1:5002", "/b-1250000000", ("b-1250000000", "home", "")),
            ("cos.ap-beijing.myqcloud.com", "/b-1250000000//x/", ("b-1250000000", "ap-beijing", "/x/")),
            ("localhost", "/b-1250000000/../c", ("b-1250000000", "home", "../c")),
        ] {
            let (bucket, region, key) = expected;
            assert_eq!(address(host, path), Some((bucket.into(), region.into(), key.into())), "{host}{path}");
        }
        for (host, path) in [
            ("127.0.0.1:5002", "/token"),
            ("127.0.0.1:5002", "/"),
            ("localhost", "/bucket-12/x"),
            ("sts.tencentcloudapi.com", "/"),
        ] {
            assert_eq!(address(host, path), None, "{host}{path}");
        }
    }

    #[test]
    fn a_host_without_a_bucket_may_name_the_region() {
        for (host, region) in [
            ("service.cos.myqcloud.com", "home"),
            ("service.cos.tencentcos.cn:80", "home"),
            ("cos.ap-beijing.myqcloud.com", "ap-beijing"),
        ] {
            assert_eq!(Address::of_service(host, "home").region, region, "{host}");
        }
    }

    #[test]
    fn hosts_of_other_services_are_known() {
        for (host, service) in [
            ("b-1250000000.ci.ap-beijing.myqcloud.com", Some("ci")),
            ("B-1250000000.CI.ap-beijing.myqcloud.com:80", Some("ci")),
            ("ci.ap-beijing.myqcloud.com", Some("ci")),
            ("b-1250000000.cos-website.ap-beijing.myqcloud.com", Some("cos-website")),
            ("b-1250000000.cos.ap-beijing.myqcloud.com", None),
            ("b-1250000000.cos-internal.ap-beijing.tencentcos.cn", None),
            ("service.cos.myqcloud.com", None),
            ("b-1250000000.cos.localhost:5002", None),
            ("127.0.0.1:5002", None),
        ] {
            assert_eq!(other_service(host).as_deref(), service, "{host}");
        }
    }
}
