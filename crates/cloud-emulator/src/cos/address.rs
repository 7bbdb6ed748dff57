//! Which bucket and key a request is about: named by the host, or by the path.

use percent_encoding::percent_decode_str;

/// A bucket, and an object in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// With its appid, such as `examplebucket-1250000000`.
    pub(super) bucket: String,
    /// Such as `ap-guangzhou`.
    pub(super) region: String,
    /// Empty where the bucket itself is meant.
    pub(super) key: String,
}

impl Address {
    /// Reads it from a host and a path as they came. Nothing, if they name no bucket.
    ///
    /// The host names the bucket first (`<bucket>.cos.<region>.myqcloud.com`, `<bucket>.cos.localhost`); one
    /// that does not leaves it to the path (`/<bucket>/<key>`). The region is the host's, else `home`.
    pub(super) fn of(host: &str, path: &str, home: &str) -> Option<Self> {
        let path = percent_decode_str(path.strip_prefix('/')?).decode_utf8_lossy();
        let host = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
        let mut labels = host.split('.').peekable();
        let bucket = labels.next_if(|label| is_bucket(label)).map(str::to_owned);
        let region = labels
            .skip_while(|label| *label != "cos")
            .nth(1)
            .filter(|label| !["localhost", "accelerate"].contains(label));
        let region = region.unwrap_or(home).to_owned();
        if let Some(bucket) = bucket {
            return Some(Self { bucket, region, key: path.into_owned() });
        }
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        is_bucket(bucket).then(|| Self { bucket: bucket.to_owned(), region, key: key.to_owned() })
    }

    /// The six-segment name of a key in this bucket; of the bucket, if the key is empty.
    pub(super) fn resource(&self, key: &str) -> String {
        let appid = self.bucket.rsplit('-').next().unwrap_or_default();
        format!("qcs::cos:{}:uid/{appid}:{}/{key}", self.region, self.bucket)
    }
}

/// `name-appid` (docs 436/13312).
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
        Address::of(host, path, "home").map(|address| (address.bucket, address.region, address.key))
    }

    #[test]
    fn the_host_names_the_bucket_or_the_path_does() {
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
}
