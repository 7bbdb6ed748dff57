//! Probes of what a request sets going beside its own operation: rules of data processing that write further files
//! (docs 1045/33695, 436/54050), callbacks (436/106770) and watermarks (460/6951). The documents do not say whose key
//! must allow what these reach.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use serde_json::json;

use super::{
    attack_cases::{AttackCases, PARENT_FOLDERS},
    probe::{Expected, Probe},
    request::Request,
    synthetic_users::{Objects, User},
};
use tencent_sign::cos::encoded;

/// The smallest picture that can be processed: a bitmap of one pixel.
pub(super) const PICTURE: &str = "BM:\0\0\0\0\0\0\u{0}6\0\0\0(\0\0\0\u{1}\0\0\0\u{1}\0\0\0\u{1}\0\u{18}\0\0\0\0\0\u{4}\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// The `ETag` of the picture.
const PICTURE_ETAG: &str = "1c7f61ef64586e56f4c0dd182d3a15f5";

/// The rule that makes a file of a picture.
const RULE: &str = "imageMogr2/rotate/90";

/// The actions of an upload in parts.
const UPLOAD_ACTIONS: [&str; 3] =
    ["name/cos:InitiateMultipartUpload", "name/cos:UploadPart", "name/cos:CompleteMultipartUpload"];

impl AttackCases<'_> {
    /// Requests about the user's own picture whose rules, callbacks and watermarks name the other's objects.
    pub(super) fn processing(&mut self, user: User, objects: &Objects) {
        let Some(others) = self.users.own_objects(user.other(), "name/cos:PutObject") else { return };
        let own = self.picture(user, objects);
        let others_picture = self.picture(user.other(), &others);
        self.rules(user, objects, &others);
        self.rules_elsewhere(user, &own, &others);
        self.callbacks(user, objects, &others);
        if self.users.is_allowed(user, "name/cos:GetObject", &own, None, None) {
            let url = format!("http://{}/{others_picture}", self.users.bucket().host());
            let watermark = format!("watermark/1/image/{}", URL_SAFE.encode(url));
            let read = Request::of("GET", &own).with_parameter(watermark, "");
            self.add("show the other's picture as a watermark", user, read, Expected::RefusedOrAbsent);
        }
    }

    /// Writes a picture into a user's own folder, and returns its key.
    fn picture(&mut self, user: User, objects: &Objects) -> String {
        let key = objects.key(&self.next_name());
        let write = self.as_write(user, Request::of("PUT", &key)).with_body(PICTURE);
        self.add("write a picture of one's own", user, write, Expected::Allowed);
        key
    }

    /// Uploads whose rules write a file into the other's folder.
    fn rules(&mut self, user: User, objects: &Objects, others: &Objects) {
        let depth = objects.key("").matches('/').count();
        let climbs = PARENT_FOLDERS.map(|(name, parent)| (name.to_owned(), parent.repeat(depth)));
        let bucket = self.users.bucket().name.clone();
        let ways = climbs.into_iter().chain([
            ("its whole path".to_owned(), "/".to_owned()),
            ("`//`".to_owned(), "//".to_owned()),
            ("`.//../`".to_owned(), format!(".//{}", "../".repeat(depth))),
        ]);
        for (name, way) in ways {
            let target = others.key(&self.next_name());
            let write = self.upload_with_rule(user, objects, &rule(None, &format!("{way}{target}")));
            self.add_write(
                format!("a rule that writes to the other's folder by {name}"),
                user,
                write,
                &target,
            );
        }
        let target = others.key(&self.next_name());
        let write = self.upload_with_rule(user, objects, &rule(Some(&bucket), &format!("/{target}")));
        self.add_write("a rule that names the bucket".to_owned(), user, write, &target);
        // A bucket of the same account, which need not exist.
        let (_, appid) = bucket.rsplit_once('-').unwrap_or_default();
        let elsewhere = format!("cosbroker-canary-{appid}");
        let write = self.upload_with_rule(user, objects, &rule(Some(&elsewhere), &format!("/{target}")));
        let shown = Expected::NotShown(format!("{elsewhere}."));
        self.add("a rule that writes to another bucket", user, write, shown);
    }

    /// The same rule in other requests: the end of an upload in parts, a form, and requests for a stored picture.
    fn rules_elsewhere(&mut self, user: User, own: &str, others: &Objects) {
        let may = |action: &str, content_type| self.users.is_allowed(user, action, own, content_type, None);
        let content_type = self.users.own_objects(user, "name/cos:PutObject").map(|own| own.content_type);
        let (has_uploads, has_forms) = (
            UPLOAD_ACTIONS.iter().all(|action| may(action, content_type)),
            may("name/cos:PostObject", content_type),
        );
        let may_read = may("name/cos:GetObject", None);
        if has_uploads {
            let target = others.key(&self.next_name());
            let complete = Request::of("POST", own).with_body(completed_upload(PICTURE_ETAG));
            let complete = complete.with_header("pic-operations", rule(None, &format!("/{target}")));
            let expected = self.not_written(user, &target);
            let name = "a rule at the end of an upload in parts".to_owned();
            let probe = Probe { name, by: Some(user), request: complete, expected, completes_upload: true };
            self.probes.push(probe);
        }
        if has_forms {
            let target = others.key(&self.next_name());
            let form = vec![
                ("key", own.to_owned()),
                ("Content-Type", content_type.unwrap_or("image/bmp").to_owned()),
                ("Pic-Operations", rule(None, &format!("/{target}"))),
            ];
            let post = Request { form, ..Request::of("POST", "").with_body(PICTURE) };
            self.add_write("a rule in a form".to_owned(), user, post, &target);
        }
        if may_read {
            for (method, name) in [("POST", "a rule for a stored picture"), ("GET", "a rule at a download")] {
                let target = others.key(&self.next_name());
                let request = Request::of(method, own)
                    .with_parameter("image_process", "")
                    .with_header("pic-operations", rule(None, &format!("/{target}")));
                self.add_write(name.to_owned(), user, request, &target);
            }
        }
    }

    /// An upload that has COS call the bucket's own address, as if the call came from COS itself.
    fn callbacks(&mut self, user: User, objects: &Objects, others: &Objects) {
        let target = others.key(&self.next_name());
        let host = self.users.bucket().host();
        let callback = json!({
            "callbackUrl": format!("http://{host}/{}?append&position=0", encoded(&target).replace("%2F", "/")),
            "callbackBody": "written by a callback",
            "callbackBodyType": "application/x-www-form-urlencoded",
        });
        let own = objects.key(&self.next_name());
        let write = self
            .as_write(user, Request::of("PUT", &own))
            .with_header("x-cos-callback", STANDARD.encode(callback.to_string()));
        self.add_write("a callback to the other's object".to_owned(), user, write, &target);
    }

    /// Returns the upload of a picture with a rule.
    fn upload_with_rule(&mut self, user: User, objects: &Objects, rule: &str) -> Request {
        let key = objects.key(&self.next_name());
        self.as_write(user, Request::of("PUT", &key)).with_body(PICTURE).with_header("pic-operations", rule)
    }

    /// Adds a request that must not write an object of the other.
    fn add_write(&mut self, name: String, user: User, request: Request, target: &str) {
        let expected = self.not_written(user, target);
        self.add(name, user, request, expected);
    }

    fn not_written(&self, user: User, target: &str) -> Expected {
        let proof = self
            .as_write(user.other(), Request::of("PUT", target))
            .with_header("x-cos-forbid-overwrite", "true");
        Expected::NotInOtherHome(Box::new(proof))
    }
}

/// Returns the value of `Pic-Operations` with one rule.
fn rule(bucket: Option<&str>, file: &str) -> String {
    let rule = match bucket {
        Some(bucket) => json!({"bucket": bucket, "fileid": file, "rule": RULE}),
        None => json!({"fileid": file, "rule": RULE}),
    };
    json!({"is_pic_info": 1, "rules": [rule]}).to_string()
}

/// Returns the body of a request that completes an upload of one part.
pub(super) fn completed_upload(etag: &str) -> String {
    format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"{etag}\"</ETag></Part></CompleteMultipartUpload>"
    )
}
