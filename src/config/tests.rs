use super::test_support::{MINIMAL, parse, problem};

#[test]
fn problems_of_several_sections_are_all_reported() {
    let text =
        problem(&format!("{}\n[admin]\nlisten = \"0.0.0.0:1\"\n", MINIMAL.replace("JWT_SECRET", "NOT_SET")));
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn no_secret_shows_in_the_debug_output_of_a_configuration() {
    let shown = format!("{:?}", parse(MINIMAL).unwrap());
    for secret in ["0123456789abcdef", "the-ID", "the-KEY"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// Every key of the example, commented out or not, and whether its value is the default.
struct ExampleKey<'a> {
    section: &'a str,
    name: &'a str,
    is_default: bool,
    is_required: bool,
}

const EXAMPLE: &str = include_str!("../../config.example.toml");

/// The key in a line of the example. `previous` is the line above, which has its type and default.
fn example_key<'a>(section: &'a str, line: &'a str, previous: &str) -> Option<ExampleKey<'a>> {
    let setting = line.strip_prefix('#').unwrap_or(line);
    let (name, _) = setting.split_once(" = ").filter(|_| !setting.starts_with([' ', '[']))?;
    Some(ExampleKey {
        section,
        name,
        is_default: !previous.contains(';'),
        is_required: previous.contains("required in the section"),
    })
}

fn section_name(line: &str) -> Option<&str> {
    let heading = line.strip_prefix('#').unwrap_or(line);
    heading.starts_with('[').then(|| heading.trim_matches(['[', ']']))
}

fn example_keys() -> Vec<ExampleKey<'static>> {
    let (mut section, mut previous, mut keys) = ("", "", Vec::new());
    for line in EXAMPLE.lines() {
        section = section_name(line).unwrap_or(section);
        keys.extend(example_key(section, line, previous));
        previous = line;
    }
    keys
}

/// The example with optional sections, and with those commented keys that `selected` picks. Without `[snapshot]` and
/// `[redis]`, whose keys must be on this machine.
fn example_with(selected: impl Fn(&ExampleKey<'_>) -> bool) -> String {
    let (mut section, mut previous, mut text) = ("", "", String::new());
    for line in EXAMPLE.lines() {
        section = section_name(line).unwrap_or(section);
        let is_active = !["snapshot", "redis"].contains(&section)
            && (section_name(line).is_some()
                || example_key("", line, previous).is_some_and(|key| selected(&key) || key.is_required));
        text.push_str(if is_active { line.trim_start_matches('#') } else { line });
        text.push('\n');
        previous = line;
    }
    text
}

/// A deserializer that only finds out which keys a struct accepts.
struct AcceptedKeys<'a>(&'a mut &'static [&'static str]);

impl<'de> serde::Deserializer<'de> for AcceptedKeys<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: serde::de::Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("not a struct"))
    }

    fn deserialize_struct<V: serde::de::Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = keys;
        Err(serde::de::Error::custom("the keys are known"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn accepted_keys<T: serde::de::DeserializeOwned>() -> Vec<&'static str> {
    let mut keys: &[&str] = &[];
    let _ = T::deserialize(AcceptedKeys(&mut keys));
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys
}

#[test]
fn the_example_has_exactly_the_keys_that_are_accepted() {
    let mut sections = vec![
        ("server", accepted_keys::<super::server::RawServer>()),
        ("admin", accepted_keys::<super::admin::RawAdmin>()),
        ("issuer", accepted_keys::<super::issuer::RawIssuer>()),
        ("templates", accepted_keys::<super::templates::RawTemplates>()),
        ("sts", accepted_keys::<super::sts::RawSts>()),
        ("cache", accepted_keys::<super::cache::RawCache>()),
        ("limits", accepted_keys::<super::limits::RawLimits>()),
        ("audit", accepted_keys::<super::audit::RawAudit>()),
        ("tracing", accepted_keys::<super::tracing::RawTracing>()),
        ("snapshot", accepted_keys::<super::snapshot::RawSnapshot>()),
        ("network", accepted_keys::<super::network::RawNetwork>()),
        ("canary", accepted_keys::<super::canary::RawCanary>()),
        ("redis", accepted_keys::<super::redis::RawRedis>()),
    ];
    let keys = example_keys();
    for (section, accepted) in &sections {
        let mut written: Vec<&str> =
            keys.iter().filter(|key| key.section == *section).map(|key| key.name).collect();
        written.sort_unstable();
        assert_eq!(&written, accepted, "[{section}]");
    }
    let mut names: Vec<&str> = sections.drain(..).map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(names, accepted_keys::<super::RawConfig>());
}

#[test]
fn the_defaults_in_the_example_are_those_of_the_code() {
    let without = parse(&example_with(|_| false)).unwrap();
    let with = parse(&example_with(|key| key.is_default)).unwrap();
    assert_eq!(format!("{with:#?}"), format!("{without:#?}"));
    assert!(example_keys().iter().filter(|key| key.is_default).count() > 20);
}
