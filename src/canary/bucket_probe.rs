//! Asks COS whether a bucket exists. No key is needed: a private bucket refuses a stranger, an absent one is not found.

use url::Url;

use super::{
    client::{Client, NoClient},
    request::Request,
};
use crate::config::Network;
use diagnostics::nearest;
use runtime::clock::Clock;
use templates::Bucket;

/// The regions of COS (docs 436/6224), closed ones included.
const REGIONS: [&str; 23] = [
    "ap-bangkok",
    "ap-beijing",
    "ap-beijing-1",
    "ap-beijing-fsi",
    "ap-chengdu",
    "ap-chongqing",
    "ap-guangzhou",
    "ap-hongkong",
    "ap-jakarta",
    "ap-mumbai",
    "ap-nanjing",
    "ap-seoul",
    "ap-shanghai",
    "ap-shanghai-fsi",
    "ap-shenzhen-fsi",
    "ap-singapore",
    "ap-tokyo",
    "eu-frankfurt",
    "eu-moscow",
    "na-ashburn",
    "na-siliconvalley",
    "na-toronto",
    "sa-saopaulo",
];

/// The appid of the vendor's examples, and of ours.
const EXAMPLE_APPID: &str = "1250000000";

/// What there is to say about a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketState {
    /// COS knows the bucket in this region.
    Exists,
    /// The bucket is probably not the one that is meant. Says why, and what to do.
    Suspect(String),
}

/// Finds out whether a bucket exists in its region, by a `HEAD` request without a key (docs 436/7735).
///
/// # Errors
/// When no HTTP client can be built.
pub async fn probe_bucket(
    bucket: &Bucket,
    endpoint: Option<Url>,
    network: &Network,
    clock: &dyn Clock,
) -> Result<BucketState, NoClient> {
    if let Some(doubt) = doubt_about(bucket) {
        return Ok(BucketState::Suspect(doubt));
    }
    let client = Client::new(endpoint, network)?;
    let answer = client.send(bucket, &Request::of("HEAD", ""), None, clock).await;
    Ok(match answer.map(|answer| answer.status) {
        Ok(200 | 403) => BucketState::Exists,
        Ok(404) => BucketState::Suspect(
            "COS has no such bucket there; check `bucket` and `region` of the templates".to_owned(),
        ),
        Ok(status) => BucketState::Suspect(format!(
            "COS answered HEAD with {status}, so it is not known whether the bucket exists; look it up in the console"
        )),
        Err(error) => BucketState::Suspect(format!(
            "{error} from {}; check the region, and that this machine may reach COS",
            bucket.host()
        )),
    })
}

/// Returns what is doubtful about a bucket's name or region.
fn doubt_about(bucket: &Bucket) -> Option<String> {
    let region = bucket.region.as_str();
    if bucket.appid() == EXAMPLE_APPID {
        return Some(
            "this is the bucket of the examples; write your own bucket into the templates".to_owned(),
        );
    }
    if REGIONS.contains(&region) {
        return None;
    }
    let help = nearest(region, REGIONS).map_or_else(
        || "check it against docs 436/6224".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Some(format!("`{region}` is not a region that this version knows; {help}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_of_the_examples_and_unknown_regions_are_doubted() {
        let doubt = |name: &str, region: &str| {
            doubt_about(&Bucket { name: name.to_owned(), region: region.to_owned() })
        };
        assert_eq!(doubt("photos-1258888888", "ap-guangzhou"), None);
        for (name, region, part) in [
            ("examplebucket-1250000000", "ap-guangzhou", "the bucket of the examples"),
            ("photos-1258888888", "ap-guangzou", "did you mean `ap-guangzhou`?"),
            ("photos-1258888888", "mars", "436/6224"),
        ] {
            let doubt = doubt(name, region).unwrap();
            assert!(doubt.contains(part), "{doubt}");
        }
    }
}
