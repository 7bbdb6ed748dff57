//! Notes: what is known about keys of a set of templates that no template can change. They ask for nothing and fail
//! nothing.

use std::time::Duration;

use crate::{
    render,
    template::{Action, Statement, Template},
};

/// Something to know about some templates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The templates it is about, with a figure of each if there is one: `upload`, or `upload (2443)`.
    pub templates: Vec<String>,
    /// What is known, with its source.
    pub text: &'static str,
}

/// The actions that write an object's content.
const UPLOADS: [&str; 4] = [
    "name/cos:PutObject",
    "name/cos:PostObject",
    "name/cos:AppendObject",
    "name/cos:CompleteMultipartUpload",
];

/// Shorter keys are not what the vendor documents for its own SDKs (docs 436/68283).
const USUAL_MIN_DURATION: Duration = Duration::from_mins(30);

/// Policies of this size are known to work: those of the vendor's own examples are smaller. No number is documented.
const USUAL_MAX_POLICY_BYTES: usize = 2048;

const PROCESSING_AT_UPLOAD: &str = "an upload may start more than an upload: with `Pic-Operations`, images are processed \
    and the results written under names that its rules choose (docs 436/44887, 1045/33695), and with `x-cos-callback` COS \
    calls a server (for accounts on the vendor's list, docs 436/106770). Both cost money. No condition key names either \
    header, so no template can deny it: leave data processing off for the bucket, or have `cosbroker verify-isolation` try it";

const PROCESSING_AT_DOWNLOAD: &str = "a download may ask for processing, such as `?imageMogr2/…`, which costs money \
    (docs 460/6930). No condition key names it: leave data processing off for the bucket if you do not use it";

const NO_PARTS: &str = "files can only be uploaded in one request: SDKs upload in parts from 1 MiB on, so apps set \
    `SliceSize` above the largest file, or the template grants @multipart-upload";

const SHORT_KEYS: &str = "keys of less than 30 min: STS issues them, and docs 436/68283 says that temporary keys live for 30 \
    min or more; try it with `cosbroker check --online`";

const LARGE_POLICIES: &str = "policies that can grow beyond 2048 bytes: CAM takes 6144 (docs 598/10609), and STS documents no \
    number; `cosbroker check --online` tries the largest";

/// Returns what is known about these templates.
pub(super) fn of(templates: &[Template]) -> Vec<Note> {
    let about = |text, is_about: fn(&Template) -> Option<String>| {
        let templates: Vec<String> = templates.iter().filter_map(is_about).collect();
        (!templates.is_empty()).then_some(Note { templates, text })
    };
    [
        about(PROCESSING_AT_UPLOAD, uploads),
        about(PROCESSING_AT_DOWNLOAD, downloads),
        about(NO_PARTS, uploads_without_parts),
        about(SHORT_KEYS, has_short_keys),
        about(LARGE_POLICIES, has_large_policies),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn allows(template: &Template, names: &[&str]) -> bool {
    template.allows().flat_map(Statement::actions).map(Action::name).any(|name| names.contains(&name))
}

fn uploads(template: &Template) -> Option<String> {
    allows(template, &UPLOADS).then(|| template.name.clone())
}

fn downloads(template: &Template) -> Option<String> {
    allows(template, &["name/cos:GetObject"]).then(|| template.name.clone())
}

fn uploads_without_parts(template: &Template) -> Option<String> {
    let in_one = allows(template, &["name/cos:PutObject"]) && !allows(template, &["name/cos:UploadPart"]);
    in_one.then(|| template.name.clone())
}

fn has_short_keys(template: &Template) -> Option<String> {
    (template.duration < USUAL_MIN_DURATION).then(|| template.name.clone())
}

fn has_large_policies(template: &Template) -> Option<String> {
    let bytes = render::max_policy_bytes(template);
    (bytes > USUAL_MAX_POLICY_BYTES).then(|| format!("{} ({bytes})", template.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::tests::UPLOAD;
    use diagnostics::Source;

    fn notes_of(name: &str, text: &str) -> Vec<Note> {
        of(&[Template::parse(name, Source::new(format!("{name}.toml"), text)).unwrap()])
    }

    fn has(notes: &[Note], text: &str) -> bool {
        notes.iter().any(|note| note.text == text)
    }

    #[test]
    fn a_template_is_told_what_its_keys_can_start() {
        let upload = notes_of("upload", UPLOAD);
        assert!(has(&upload, PROCESSING_AT_UPLOAD) && !has(&upload, PROCESSING_AT_DOWNLOAD), "{upload:?}");
        let download = UPLOAD.replace("[\"@upload\", \"@multipart-upload\"]", "\"@download\"");
        let download = notes_of("downloads", &download);
        assert!(
            has(&download, PROCESSING_AT_DOWNLOAD) && !has(&download, PROCESSING_AT_UPLOAD),
            "{download:?}"
        );
    }

    #[test]
    fn a_template_without_parts_says_that_sdks_upload_in_parts() {
        let whole = UPLOAD.replace("[\"@upload\", \"@multipart-upload\"]", "\"@upload\"");
        assert!(has(&notes_of("avatar", &whole), NO_PARTS));
        assert!(!has(&notes_of("upload", UPLOAD), NO_PARTS));
    }

    #[test]
    fn short_keys_and_large_policies_are_told_with_what_is_known() {
        let short = notes_of("upload", &UPLOAD.replace("30m", "29m"));
        assert!(has(&short, SHORT_KEYS));
        assert!(!has(&notes_of("upload", UPLOAD), SHORT_KEYS));
        let large = UPLOAD.replace("[\"${home}*\"]", "[\"${home}a/*\", \"${home}b/*\", \"${home}c/*\"]");
        let notes = notes_of("upload", &large);
        let note = notes.iter().find(|note| note.text == LARGE_POLICIES).unwrap();
        assert!(note.templates[0].starts_with("upload ("), "{note:?}");
    }
}
