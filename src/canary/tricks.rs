//! The long list: every way we know of in which the holder of one key might come at the objects of another.
//! Where the vendor's documents leave open what a request means, there is a row that finds out.

use super::{
    pair::{NAME, Objects, Pair, body_of},
    request::Request,
    trial::{Expected, Side, Trial},
};
use tencent_sign::cos::encoded;

/// Ways to write `../` that somebody on the way to the object may undo, and what they are called.
const CLIMBS: [(&str, &str); 6] = [
    ("`../`", "../"),
    ("`%2e%2e/`", "%2e%2e/"),
    ("`..%2f`", "..%2f"),
    ("`%2e%2e%2f`", "%2e%2e%2f"),
    ("`%252e%252e%252f`", "%252e%252e%252f"),
    ("`..%5c`", "..%5c"),
];

/// Headers that hand an object to others (docs 436/7749); `x-cos-grant-write` is for buckets only.
const ACL_HEADERS: [(&str, &str); 6] = [
    ("x-cos-acl", "public-read"),
    ("x-cos-acl", "public-read-write"),
    ("x-cos-grant-read", "id=\"100000000001\""),
    ("x-cos-grant-read-acp", "id=\"100000000001\""),
    ("x-cos-grant-write-acp", "id=\"100000000001\""),
    ("x-cos-grant-full-control", "id=\"100000000001\""),
];

/// All that is tried with one pair's keys; `run` makes its objects' names new.
pub(super) struct Tricks<'a> {
    pair: &'a Pair,
    run: &'a str,
    trials: Vec<Trial>,
    /// Objects written under a new name so far.
    fresh: usize,
}

/// What is tried, in this order, and in words what is not.
pub(super) fn trials(pair: &Pair, run: &str) -> (Vec<Trial>, Vec<&'static str>) {
    let mut tricks = Tricks { pair, run, trials: Vec::new(), fresh: 0 };
    let mut untried = Vec::new();
    for side in [Side::Short, Side::Long] {
        tricks.own(side);
    }
    tricks.plainly(Side::Short);
    tricks.plainly(Side::Long);
    tricks.beyond(Side::Short);
    tricks.listings(Side::Short);
    match pair.objects(Side::Short, "name/cos:PutObject") {
        None => {
            untried.push("paths and listings in disguise, copies and ACL headers: these keys write nothing");
        }
        Some(objects) => {
            tricks.disguised_listings(Side::Short);
            tricks.acl_headers(Side::Short, &objects);
            if objects.are_many() {
                tricks.copies(Side::Short, &objects);
                tricks.disguises(Side::Short, &objects);
            } else {
                untried.push("paths in disguise and copies: these keys write one object only");
            }
        }
    }
    // Last: whoever succeeds takes from the others what they would have found.
    for side in [Side::Short, Side::Long] {
        let theirs = tricks.mark(side.other());
        tricks.add("delete the other's object", side, Request::of("DELETE", &theirs), Expected::Denied);
    }
    (tricks.trials, untried)
}

impl Tricks<'_> {
    fn add(
        &mut self,
        name: impl Into<String>,
        by: impl Into<Option<Side>>,
        request: Request,
        expected: Expected,
    ) {
        self.trials.push(Trial { name: name.into(), by: by.into(), request, expected });
    }

    /// The object that each writes in their own folder, and the other goes for.
    fn mark(&self, side: Side) -> String {
        let objects = ["name/cos:PutObject", "name/cos:GetObject"]
            .into_iter()
            .find_map(|action| self.pair.objects(side, action));
        let name = format!("{NAME}-{}", self.run);
        objects.map_or_else(|| format!("{}{name}", self.pair.home(side)), |objects| objects.key(&name))
    }

    /// A name that nothing has yet.
    fn fresh(&mut self) -> String {
        self.fresh += 1;
        format!("{NAME}-{}-{}", self.run, self.fresh)
    }

    fn put(&self, side: Side, request: Request) -> Request {
        let content_type = self.pair.objects(side, "name/cos:PutObject").map(|objects| objects.content_type);
        let request = Request { body: body_of(side).to_owned(), ..request };
        request.with_header("content-type", content_type.unwrap_or("text/plain"))
    }

    fn own(&mut self, side: Side) {
        let mark = self.mark(side);
        if self.pair.objects(side, "name/cos:PutObject").is_some() {
            let put = self.put(side, Request::of("PUT", &mark));
            let once_more = put.clone().with_header("x-cos-forbid-overwrite", "true");
            self.add("write one's own object", side, put, Expected::Allowed);
            self.add("write it again, not to overwrite", side, once_more, Expected::Exists);
            if self.pair.may(side, "name/cos:GetObject", &mark, None, None) {
                self.add("read one's own object", side, Request::of("GET", &mark), Expected::Allowed);
            }
        }
    }

    /// In COS's own ways, nothing hidden.
    fn plainly(&mut self, side: Side) {
        let (mark, home) = (self.mark(side.other()), self.pair.home(side.other()).to_owned());
        let of = |method| Request::of(method, &mark);
        let put = self.put(side, of("PUT"));
        let upload = |method| of(method).with_parameter("uploadId", "1");
        for (name, request, expected) in [
            ("write the other's object", put.clone(), Expected::Denied),
            ("read the other's object", of("GET"), Expected::Denied),
            ("look at the other's object", of("HEAD"), Expected::Denied),
            ("begin an upload in parts", of("POST").with_parameter("uploads", ""), Expected::Denied),
            ("upload a part", upload("PUT").with_parameter("partNumber", "1"), Expected::Denied),
            ("list an upload's parts", upload("GET"), Expected::Denied),
            ("complete an upload", Request { body: PARTS.to_owned(), ..upload("POST") }, Expected::Denied),
            ("abort an upload", upload("DELETE"), Expected::Denied),
            (
                "append to the other's object",
                Request { body: put.body.clone(), ..of("POST") }
                    .with_parameter("append", "")
                    .with_parameter("position", "0"),
                Expected::Refused,
            ),
            ("read the other's ACL", of("GET").with_parameter("acl", ""), Expected::Refused),
            (
                "open the other's object by its ACL",
                of("PUT").with_parameter("acl", "").with_header("x-cos-acl", "public-read"),
                Expected::Refused,
            ),
            ("read the other's tags", of("GET").with_parameter("tagging", ""), Expected::Refused),
            ("list the other's folder", list(&[("prefix", &home)]), Expected::Denied),
            ("list the other's uploads", list(&[("uploads", ""), ("prefix", &home)]), Expected::Denied),
            ("list the other's versions", list(&[("versions", ""), ("prefix", &home)]), Expected::Refused),
        ] {
            self.add(name, side, request, expected);
        }
        for (name, request) in [
            ("read the other's object, unsigned", of("GET")),
            ("write the other's object, unsigned", put),
            ("list the other's folder, unsigned", list(&[("prefix", &home)])),
        ] {
            self.add(name, None, request, Expected::Denied);
        }
    }

    /// Next to one's own folder, and the other's object under names that might be taken for it.
    fn beyond(&mut self, side: Side) {
        let beside = self.pair.home(side).trim_end_matches('/').to_owned();
        let mark = self.mark(side.other());
        let escaped: String = mark
            .bytes()
            .map(|byte| if byte == b'/' { "/".to_owned() } else { format!("%{byte:02X}") })
            .collect();
        let plain = encoded(&mark).replace("%2F", "/");
        for (name, request, expected) in [
            ("an object named like one's folder", Request::of("PUT", &beside), Expected::Denied),
            (
                "an object whose name begins like one's folder",
                Request::of("PUT", &format!("{beside}.{NAME}")),
                Expected::Denied,
            ),
            ("the other's name in escapes", Request::to("PUT", &escaped), Expected::Denied),
            ("a slash before the other's name", Request::to("PUT", &format!("/{plain}")), Expected::Refused),
            (
                "slashes doubled in the other's name",
                Request::to("PUT", &plain.replace('/', "//")),
                Expected::Refused,
            ),
        ] {
            let read = Request { method: "GET", ..request.clone() };
            let write = self.put(side, request);
            self.add(format!("write: {name}"), side, write, expected.clone());
            self.add(format!("read: {name}"), side, read, expected);
        }
        for name in ["acl", "policy", "lifecycle", "versioning"] {
            let request = Request::of("GET", "").with_parameter(name, "");
            self.add(format!("read the bucket's {name}"), side, request, Expected::Refused);
        }
    }

    fn listings(&mut self, side: Side) {
        let own = self.pair.home(side).to_owned();
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
            self.add(name, side, list(&query), Expected::Denied);
        }
        let versions = list(&[("versions", "")]);
        self.add("list all versions", side, versions, Expected::Refused);
    }

    /// Where the other has an object that such a list would show.
    fn disguised_listings(&mut self, side: Side) {
        let (own, theirs) = (self.pair.home(side).to_owned(), self.pair.home(side.other()).to_owned());
        // An answer repeats what it was asked; only an object's key is news.
        let shown = Expected::NotShown(format!("<Key>{theirs}"));
        let up = "../".repeat(own.matches('/').count());
        for (name, query) in [
            (
                "list with two prefixes, the other's last",
                vec![("prefix", own.clone()), ("prefix", theirs.clone())],
            ),
            (
                "list with two prefixes, the other's first",
                vec![("prefix", theirs.clone()), ("prefix", own.clone())],
            ),
            ("list by a prefix that is escaped twice", vec![("prefix", encoded(&theirs))]),
            ("list by a prefix that climbs", vec![("prefix", format!("{own}{up}{theirs}"))]),
            ("list from the other's folder on", vec![("prefix", own), ("marker", theirs.clone())]),
        ] {
            let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.add(name, side, list(&query), shown.clone());
        }
    }

    fn acl_headers(&mut self, side: Side, objects: &Objects) {
        let mark = self.mark(side);
        // A template may turn the guard off, for a reason it must give.
        if self.pair.may(side, "name/cos:PutObject", &mark, Some(objects.content_type), Some("public-read")) {
            return;
        }
        for (header, value) in ACL_HEADERS {
            let request = self.put(side, Request::of("PUT", &mark)).with_header(header, value);
            self.add(format!("open one's own object: {header}: {value}"), side, request, Expected::Denied);
        }
    }

    fn copies(&mut self, side: Side, objects: &Objects) {
        let host = self.pair.bucket().host();
        let (own, theirs) = (self.mark(side), self.mark(side.other()));
        let copy = |to: &str, from: &str| {
            Request::of("PUT", to)
                .with_header("x-cos-copy-source", format!("{host}/{from}"))
                .with_header("content-type", objects.content_type)
        };
        let home = self.pair.home(side).to_owned();
        let depth = home.matches('/').count();
        let to = objects.key(&self.fresh());
        self.add("copy the other's object to oneself", side, copy(&to, &theirs), Expected::Denied);
        self.add("copy one's own over the other's", side, copy(&theirs, &own), Expected::Denied);
        for (name, climb) in CLIMBS {
            let to = objects.key(&self.fresh());
            let from = format!("{home}{}{theirs}", climb.repeat(depth));
            self.add(format!("copy the other's by {name}"), side, copy(&to, &from), Expected::Absent);
        }
    }

    /// Paths that begin in one's own folder and might end in the other's. What a signature is over depends on
    /// where a path is undone, so that each goes out with either.
    fn disguises(&mut self, side: Side, objects: &Objects) {
        let home = self.pair.home(side).to_owned();
        let depth = home.matches('/').count();
        let climbs = CLIMBS.map(|(name, climb)| (name, climb.repeat(depth)));
        let ways = climbs.into_iter().chain([("`//`", "/".to_owned())]);
        let Some(theirs) = self.pair.objects(side.other(), "name/cos:PutObject") else { return };
        let mark = self.mark(side.other());
        for (name, way) in ways {
            for resolved in [false, true] {
                let told = if resolved { ", signed as what it hides" } else { "" };
                let disguised = |method, key: &str| {
                    let request = Request::to(method, &format!("{home}{way}{key}"));
                    if resolved { request.signed_for(key) } else { request }
                };
                let read = disguised("GET", &mark);
                self.add(format!("read by {name}{told}"), side, read, Expected::Absent);
                let target = theirs.key(&self.fresh());
                let write = Request { body: body_of(side).to_owned(), ..disguised("PUT", &target) }
                    .with_header("content-type", objects.content_type);
                let proof = self
                    .put(side.other(), Request::of("PUT", &target))
                    .with_header("x-cos-forbid-overwrite", "true");
                let expected = Expected::NotThere(Box::new(proof));
                self.add(format!("write by {name}{told}"), side, write, expected);
            }
        }
    }
}

/// What completes an upload, were there one.
const PARTS: &str = "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"d41d8cd98f00b204e9800998ecf8427e\"</ETag></Part></CompleteMultipartUpload>";

fn list(query: &[(&'static str, &str)]) -> Request {
    query.iter().fold(Request::of("GET", ""), |request, (name, value)| request.with_parameter(name, *value))
}
