//! The long list of probes: every known way in which the holder of one credential might reach the objects of
//! another. Where the vendor's documents do not say what a request means, a probe finds out.

use super::{
    probe::{Expected, Probe},
    processing_cases::completed_upload,
    request::Request,
    synthetic_users::{OBJECT_NAME, Objects, SyntheticUsers, User},
};
use tencent_sign::cos::encoded;

/// The ways to write `../` that a server on the way may resolve, with their names.
pub(super) const PARENT_FOLDERS: [(&str, &str); 6] = [
    ("`../`", "../"),
    ("`%2e%2e/`", "%2e%2e/"),
    ("`..%2f`", "..%2f"),
    ("`%2e%2e%2f`", "%2e%2e%2f"),
    ("`%252e%252e%252f`", "%252e%252e%252f"),
    ("`..%5c`", "..%5c"),
];

/// Headers that share an object with others (docs 436/7749); `x-cos-grant-write` is for buckets only.
const ACL_HEADERS: [(&str, &str); 6] = [
    ("x-cos-acl", "public-read"),
    ("x-cos-acl", "public-read-write"),
    ("x-cos-grant-read", "id=\"100000000001\""),
    ("x-cos-grant-read-acp", "id=\"100000000001\""),
    ("x-cos-grant-write-acp", "id=\"100000000001\""),
    ("x-cos-grant-full-control", "id=\"100000000001\""),
];

/// The `ETag` of an empty part.
const EMPTY_ETAG: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// The probes in the order in which they are sent.
pub(super) struct Cases {
    pub(super) probes: Vec<Probe>,
    /// What the template leaves nothing to probe for, in words.
    pub(super) untried: Vec<&'static str>,
}

/// Returns all cases for two users. `run_id` makes the names of their objects unique.
pub(super) fn cases(users: &SyntheticUsers, run_id: &str) -> Cases {
    let mut cases = AttackCases { users, run_id, probes: Vec::new(), names_used: 0 };
    let mut untried = Vec::new();
    cases.own_objects(User::Short);
    cases.own_objects(User::Long);
    cases.direct_requests(User::Short);
    cases.unsigned_requests(User::Short);
    cases.direct_requests(User::Long);
    cases.unsigned_requests(User::Long);
    cases.neighbours(User::Short);
    cases.listings(User::Short);
    match users.own_objects(User::Short, "name/cos:PutObject") {
        None => {
            untried.push(
                "paths and listings in disguise, copies, data processing and ACL headers: these keys write nothing",
            );
        }
        Some(objects) => {
            cases.disguised_listings(User::Short);
            cases.acl_headers(User::Short, &objects);
            if objects.are_many() {
                cases.copies(User::Short, &objects);
                cases.disguised_paths(User::Short, &objects);
                cases.processing(User::Short, &objects);
            } else {
                untried
                    .push("paths in disguise, copies and data processing: these keys write one object only");
            }
        }
    }
    // Deletes are last: a delete that succeeds removes the object of the other probes.
    for user in User::BOTH {
        let request = Request::of("DELETE", &cases.marker_key(user.other()));
        cases.add("delete the other's object", user, request, Expected::Denied);
    }
    Cases { probes: cases.probes, untried }
}

/// Collects the probes for two users.
pub(super) struct AttackCases<'a> {
    pub(super) users: &'a SyntheticUsers,
    run_id: &'a str,
    pub(super) probes: Vec<Probe>,
    /// The number of object names used so far.
    names_used: usize,
}

impl AttackCases<'_> {
    pub(super) fn add(
        &mut self,
        name: impl Into<String>,
        by: impl Into<Option<User>>,
        request: Request,
        expected: Expected,
    ) {
        let (name, by) = (name.into(), by.into());
        self.probes.push(Probe { name, by, request, expected, completes_upload: false });
    }

    /// Returns the key of the object that a user writes and that the other user attacks.
    fn marker_key(&self, user: User) -> String {
        let objects = ["name/cos:PutObject", "name/cos:GetObject"]
            .into_iter()
            .find_map(|action| self.users.own_objects(user, action));
        let name = format!("{OBJECT_NAME}-{}", self.run_id);
        objects.map_or_else(|| format!("{}{name}", self.users.home(user)), |objects| objects.key(&name))
    }

    /// Returns an object name that no object has yet.
    pub(super) fn next_name(&mut self) -> String {
        self.names_used += 1;
        format!("{OBJECT_NAME}-{}-{}", self.run_id, self.names_used)
    }

    /// Adds the body and content type of a user's write.
    pub(super) fn as_write(&self, user: User, request: Request) -> Request {
        let objects = self.users.own_objects(user, "name/cos:PutObject");
        let content_type = objects.map_or("text/plain", |objects| objects.content_type);
        request.with_body(user.object_body()).with_header("content-type", content_type)
    }

    /// Requests for the user's own object.
    fn own_objects(&mut self, user: User) {
        if self.users.own_objects(user, "name/cos:PutObject").is_none() {
            return;
        }
        let key = self.marker_key(user);
        let put = self.as_write(user, Request::of("PUT", &key));
        let again = put.clone().with_header("x-cos-forbid-overwrite", "true");
        self.add("write one's own object", user, put, Expected::Allowed);
        self.add("write it again, not to overwrite", user, again, Expected::AlreadyExists);
        if self.users.is_allowed(user, "name/cos:GetObject", &key, None, None) {
            self.add("read one's own object", user, Request::of("GET", &key), Expected::Allowed);
        }
    }

    /// Requests for the other's objects, with nothing disguised.
    fn direct_requests(&mut self, user: User) {
        let (key, home) = (self.marker_key(user.other()), self.users.home(user.other()).to_owned());
        let put = self.as_write(user, Request::of("PUT", &key));
        let append = Request::of("POST", &key)
            .with_body(put.body.clone())
            .with_parameter("append", "")
            .with_parameter("position", "0");
        let open_by_acl =
            Request::of("PUT", &key).with_parameter("acl", "").with_header("x-cos-acl", "public-read");
        for (name, request, expected) in [
            ("write the other's object", put, Expected::Denied),
            ("read the other's object", Request::of("GET", &key), Expected::Denied),
            ("look at the other's object", Request::of("HEAD", &key), Expected::Denied),
            ("begin an upload in parts", of_subresource("POST", &key, "uploads"), Expected::Denied),
            ("upload a part", of_upload("PUT", &key).with_parameter("partNumber", "1"), Expected::Denied),
            ("list an upload's parts", of_upload("GET", &key), Expected::Denied),
            (
                "complete an upload",
                of_upload("POST", &key).with_body(completed_upload(EMPTY_ETAG)),
                Expected::Denied,
            ),
            ("abort an upload", of_upload("DELETE", &key), Expected::Denied),
            ("append to the other's object", append, Expected::Refused),
            ("read the other's ACL", of_subresource("GET", &key, "acl"), Expected::Refused),
            ("open the other's object by its ACL", open_by_acl, Expected::Refused),
            ("read the other's tags", of_subresource("GET", &key, "tagging"), Expected::Refused),
            ("list the other's folder", list(&[("prefix", &home)]), Expected::Denied),
            ("list the other's uploads", list(&[("uploads", ""), ("prefix", &home)]), Expected::Denied),
            ("list the other's versions", list(&[("versions", ""), ("prefix", &home)]), Expected::Refused),
        ] {
            self.add(name, user, request, expected);
        }
    }

    /// Requests for the other's objects without a signature.
    fn unsigned_requests(&mut self, user: User) {
        let (key, home) = (self.marker_key(user.other()), self.users.home(user.other()).to_owned());
        for (name, request) in [
            ("read the other's object, unsigned", Request::of("GET", &key)),
            ("write the other's object, unsigned", self.as_write(user, Request::of("PUT", &key))),
            ("list the other's folder, unsigned", list(&[("prefix", &home)])),
        ] {
            self.add(name, None, request, Expected::Denied);
        }
    }

    /// Objects next to the user's own folder, other spellings of the other's object, and the bucket itself.
    fn neighbours(&mut self, user: User) {
        let beside = self.users.home(user).trim_end_matches('/').to_owned();
        let key = self.marker_key(user.other());
        let escaped: String = key
            .bytes()
            .map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02X}") })
            .collect();
        let plain = encoded(&key).replace("%2F", "/");
        for (name, request, expected) in [
            ("an object named like one's folder", Request::of("PUT", &beside), Expected::Denied),
            (
                "an object whose name begins like one's folder",
                Request::of("PUT", &format!("{beside}.{OBJECT_NAME}")),
                Expected::Denied,
            ),
            ("the other's name in escapes", Request::to("PUT", &escaped), Expected::Denied),
            ("a slash before the other's name", Request::to("PUT", &format!("/{plain}")), Expected::Refused),
            (
                "slashes doubled in the other's name",
                Request::to("PUT", &plain.replace('/', "//")),
                Expected::Refused,
            ),
            ("`/./` in the other's name", Request::to("PUT", &plain.replace('/', "/./")), Expected::Refused),
        ] {
            let read = Request { method: "GET", ..request.clone() };
            let write = self.as_write(user, request);
            self.add(format!("write: {name}"), user, write, expected.clone());
            self.add(format!("read: {name}"), user, read, expected);
        }
        for name in ["acl", "policy", "lifecycle", "versioning"] {
            let request = Request::of("GET", "").with_parameter(name, "");
            self.add(format!("read the bucket's {name}"), user, request, Expected::Refused);
        }
    }

    /// Listings of more than the user's own folder.
    fn listings(&mut self, user: User) {
        let own = self.users.home(user).to_owned();
        let beside = own.trim_end_matches('/');
        let parent = beside.rfind('/').and_then(|slash| beside.get(..=slash)).unwrap_or_default();
        for (name, query) in [
            ("list everything", vec![]),
            ("list with an empty prefix", vec![("prefix", "")]),
            ("list the folder that all folders lie in", vec![("prefix", parent)]),
            ("list by one's folder without its slash", vec![("prefix", beside)]),
            ("list folders", vec![("prefix", parent), ("delimiter", "/")]),
            ("list all uploads", vec![("uploads", "")]),
        ] {
            self.add(name, user, list(&query), Expected::Denied);
        }
        let versions = list(&[("versions", "")]);
        self.add("list all versions", user, versions, Expected::Refused);
    }

    /// Listings that might be taken for listings of the user's own folder. The other has an object to show.
    fn disguised_listings(&mut self, user: User) {
        let (own, others) = (self.users.home(user).to_owned(), self.users.home(user.other()).to_owned());
        // An answer repeats the parameters of the request, but not within `<Key>`.
        let shown = Expected::NotShown(format!("<Key>{others}"));
        let up = "../".repeat(own.matches('/').count());
        for (name, query) in [
            (
                "list with two prefixes, the other's last",
                vec![("prefix", own.clone()), ("prefix", others.clone())],
            ),
            (
                "list with two prefixes, the other's first",
                vec![("prefix", others.clone()), ("prefix", own.clone())],
            ),
            ("list by a prefix that is escaped twice", vec![("prefix", encoded(&others))]),
            ("list by a prefix that climbs", vec![("prefix", format!("{own}{up}{others}"))]),
            ("list from the other's folder on", vec![("prefix", own), ("marker", others.clone())]),
        ] {
            let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.add(name, user, list(&query), shown.clone());
        }
        // `GET ///////` lists the bucket, says the vendor's own test (cos-nodejs-sdk-v5, `test/test.js`).
        for (name, path) in [("slashes", "//////"), ("dots", "./././"), ("slashes and dots", "/.//./")] {
            let request = Request::to("GET", path);
            self.add(format!("list by a path of {name}"), user, request.clone(), shown.clone());
            let request = request.with_parameter("prefix", others.as_str());
            self.add(format!("list the other's by a path of {name}"), user, request, shown.clone());
        }
    }

    /// Writes that share the user's own object with others.
    fn acl_headers(&mut self, user: User, objects: &Objects) {
        let key = self.marker_key(user);
        // A template may allow ACL headers, with a reason that it must give.
        if self.users.is_allowed(
            user,
            "name/cos:PutObject",
            &key,
            Some(objects.content_type),
            Some("public-read"),
        ) {
            return;
        }
        for (header, value) in ACL_HEADERS {
            let request = self.as_write(user, Request::of("PUT", &key)).with_header(header, value);
            self.add(format!("open one's own object: {header}: {value}"), user, request, Expected::Denied);
        }
    }

    /// Copies from and to the other's folder.
    fn copies(&mut self, user: User, objects: &Objects) {
        let (own, others) = (self.marker_key(user), self.marker_key(user.other()));
        let home = self.users.home(user).to_owned();
        let depth = home.matches('/').count();
        let to = objects.key(&self.next_name());
        let from_other = self.copy(objects, &to, &others);
        self.add("copy the other's object to oneself", user, from_other, Expected::Denied);
        let to_other = self.copy(objects, &others, &own);
        self.add("copy one's own over the other's", user, to_other, Expected::Denied);
        for (name, parent) in PARENT_FOLDERS {
            let to = objects.key(&self.next_name());
            let from = format!("{home}{}{others}", parent.repeat(depth));
            let copy = self.copy(objects, &to, &from);
            self.add(format!("copy the other's by {name}"), user, copy, Expected::RefusedOrAbsent);
        }
    }

    fn copy(&self, objects: &Objects, to: &str, from: &str) -> Request {
        Request::of("PUT", to)
            .with_header("x-cos-copy-source", format!("{}/{from}", self.users.bucket().host()))
            .with_header("content-type", objects.content_type)
    }

    /// Paths that begin in the user's own folder and may end in the other's. COS may resolve a path before or
    /// after it checks the signature, so each path is sent with both signatures.
    fn disguised_paths(&mut self, user: User, objects: &Objects) {
        let home = self.users.home(user).to_owned();
        let depth = home.matches('/').count();
        let climbs = PARENT_FOLDERS.map(|(name, parent)| (name, parent.repeat(depth)));
        let ways = climbs.into_iter().chain([("`//`", "/".to_owned())]);
        let Some(others) = self.users.own_objects(user.other(), "name/cos:PutObject") else { return };
        let key = self.marker_key(user.other());
        for (name, way) in ways {
            for signed_as in [SignedAs::Sent, SignedAs::Resolved] {
                let suffix = signed_as.suffix();
                let read = signed_as.request("GET", &format!("{home}{way}"), &key);
                self.add(format!("read by {name}{suffix}"), user, read, Expected::RefusedOrAbsent);
                let target = others.key(&self.next_name());
                let write = signed_as
                    .request("PUT", &format!("{home}{way}"), &target)
                    .with_body(user.object_body())
                    .with_header("content-type", objects.content_type);
                let proof = self
                    .as_write(user.other(), Request::of("PUT", &target))
                    .with_header("x-cos-forbid-overwrite", "true");
                let expected = Expected::NotInOtherHome(Box::new(proof));
                self.add(format!("write by {name}{suffix}"), user, write, expected);
            }
        }
    }
}

/// The path that the signature of a disguised request covers.
#[derive(Clone, Copy)]
enum SignedAs {
    /// The path as it is sent.
    Sent,
    /// The path that the disguise resolves to.
    Resolved,
}

impl SignedAs {
    fn suffix(self) -> &'static str {
        match self {
            Self::Sent => "",
            Self::Resolved => ", signed as what it hides",
        }
    }

    fn request(self, method: &'static str, disguise: &str, key: &str) -> Request {
        let request = Request::to(method, &format!("{disguise}{key}"));
        match self {
            Self::Sent => request,
            Self::Resolved => request.signed_for(key),
        }
    }
}

fn of_subresource(method: &'static str, key: &str, name: &'static str) -> Request {
    Request::of(method, key).with_parameter(name, "")
}

fn of_upload(method: &'static str, key: &str) -> Request {
    Request::of(method, key).with_parameter("uploadId", "1")
}

fn list(query: &[(&'static str, &str)]) -> Request {
    query.iter().fold(Request::of("GET", ""), |request, (name, value)| request.with_parameter(*name, *value))
}
