//! A deny for one home, which operators put in force where a key that is still active must stop at once.

use std::collections::BTreeMap;

use crate::{
    render::encode_parameter,
    template::{Bucket, Service},
};
use cam::{Comparison, Conditions, Effect, Operand, Operator, Statement};

/// Returns the statements that deny every request for the objects of a home, and every list of them.
///
/// Nothing but the home is denied: other users' homes that begin with the same letters end elsewhere, as a home ends
/// with `/`.
pub fn deny_home(bucket: &Bucket, home: &str) -> [Statement; 2] {
    let start = bucket.resource(Service::Cos);
    let string_like = Operator { comparison: Comparison::StringLike, if_exist: false };
    let prefix = Operand::Text(format!("{}*", encode_parameter(home)));
    let only_this_home = Conditions(BTreeMap::from([(
        string_like,
        BTreeMap::from([("cos:prefix".to_owned(), vec![prefix])]),
    )]));
    let deny = |action: &[&str], resource: String, condition| Statement {
        effect: Effect::Deny,
        action: action.iter().map(|name| (*name).to_owned()).collect(),
        resource: vec![resource],
        condition,
    };
    [
        deny(&["name/cos:*"], format!("{start}{home}*"), Conditions::default()),
        // A list works on the bucket, so its prefix tells whose objects it shows.
        deny(
            &["name/cos:GetBucket", "name/cos:GetBucketObjectVersions"],
            format!("{start}*"),
            only_this_home,
        ),
    ]
}
