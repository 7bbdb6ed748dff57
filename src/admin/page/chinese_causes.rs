//! The Chinese of texts with values in them: alarms, causes of refusals, and advice.
//!
//! These texts are made elsewhere, for the log and the API as well. They are recognised here by their form, in which `{}`
//! stands for a value.

use super::chinese_forms::FORMS;

/// Returns a text in Chinese, or as it is where it has no known form.
pub(super) fn in_chinese(text: &str) -> String {
    sentence(text).or_else(|| known(text)).or_else(|| in_parts(text)).unwrap_or_else(|| text.to_owned())
}

/// Returns the Chinese of a text of a known form, its values in Chinese as well.
fn known(text: &str) -> Option<String> {
    FORMS.iter().find_map(|(english, chinese)| {
        let values = values(english, text)?;
        let mut values = values.into_iter().map(in_chinese);
        let mut parts = chinese.split("{}");
        let mut written = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            written.push_str(&values.next().unwrap_or_default());
            written.push_str(part);
        }
        Some(written)
    })
}

/// Returns the Chinese of a text that ends with a full stop.
fn sentence(text: &str) -> Option<String> {
    let text = text.strip_suffix('.')?;
    known(text).or_else(|| in_parts(text)).map(|sentence| format!("{sentence}。"))
}

/// Returns the Chinese of a text of several parts, if at least one is known: what is wrong and what to do, or a help and the
/// line of the configuration.
fn in_parts(text: &str) -> Option<String> {
    if let Some((help, place)) = text.strip_suffix(')').and_then(|text| text.rsplit_once(" ("))
        && let Some(help) = known(help)
    {
        return Some(format!("{help}（{place}）"));
    }
    let (first, rest) = text.split_once("; ")?;
    match (known(first), in_chinese(rest)) {
        (None, same) if same == rest => None,
        (first_known, rest) => Some(format!("{}；{rest}", first_known.as_deref().unwrap_or(first))),
    }
}

/// Returns what stands in the places of `{}`, if the text has this form. A value has several parts only behind a colon or in
/// a form of several parts.
fn values<'a>(form: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = form.split("{}");
    let mut rest = text.strip_prefix(parts.next()?)?;
    let mut parts = parts.peekable();
    let mut values = Vec::new();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        let end = if is_last { rest.strip_suffix(part)?.len() } else { rest.find(part)? };
        let (value, after) = rest.split_at_checked(end)?;
        if value.contains("; ") && !form.contains(": ") && !form.contains("; ") {
            return None;
        }
        values.push(value);
        rest = after.strip_prefix(part)?;
    }
    rest.is_empty().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the texts of a source in quotes, with `{}` for each value, without comments and tests.
    fn literals(source: &str) -> Vec<String> {
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let quoted = code.replace("\\\"", "\u{1}");
        let texts = quoted.split('"').skip(1).step_by(2);
        texts.map(|text| without_names(&text.replace('\u{1}', "\""))).collect()
    }

    /// Returns a format string with `{}` for `{name}`.
    fn without_names(format: &str) -> String {
        let mut written = String::new();
        let mut rest = format;
        while let Some((before, after)) = rest.split_once('{') {
            let (_, after) = after.split_once('}').unwrap();
            written.push_str(before);
            written.push_str("{}");
            rest = after;
        }
        written + rest
    }

    /// Parts of sentences that are tested as a whole, and names of checks, which the page does not show.
    const FRAGMENTS: [&str; 9] = [
        "keys in the header",
        "not before",
        "{} ago",
        "in {}",
        "the template does not grant `{}`{}",
        "; ask again with `size`",
        "; ask again with `content_type`",
        "; ask again with `ip`",
        "a statement would allow it, but has `{}` on `{}`, which the request lacks{}",
    ];

    fn is_translated(text: &str) -> bool {
        FRAGMENTS.contains(&text)
            || FORMS.iter().any(|(english, _)| *english == text)
            || in_chinese(text) != text
    }

    #[test]
    fn every_alarm_and_every_cause_of_a_refusal_is_there_in_chinese() {
        let errors = [
            include_str!("../../http/refusal.rs"),
            include_str!("../../http/cors.rs"),
            include_str!("../../http/query.rs"),
            include_str!("../../identity/error.rs"),
            include_str!("../../credential_cache.rs"),
            include_str!("../../credential_cache/advice.rs"),
            include_str!("../../sts/error.rs"),
            include_str!("../../../crates/templates/src/grant.rs"),
            include_str!("../../../crates/templates/src/scope.rs"),
            include_str!("../../../crates/templates/src/verify.rs"),
            include_str!("../../../crates/templates/src/identity.rs"),
        ];
        let attributes = errors.iter().flat_map(|source| source.split("#[error(").skip(1));
        let causes = attributes.filter_map(|rest| literals(rest.split(")]").next()?).into_iter().next());
        let others = [
            include_str!("../alarms.rs"),
            include_str!("../../identity/checks.rs"),
            include_str!("../../../crates/templates/src/explain.rs"),
        ];
        let sentences = others.iter().flat_map(|source| literals(source)).filter(|text| text.contains(' '));
        let texts: Vec<String> =
            causes.chain(sentences).filter(|text| text.contains(char::is_alphabetic)).collect();
        assert!(texts.len() > 100, "{texts:#?}");
        let missing: Vec<_> = texts.iter().filter(|text| !is_translated(text)).collect();
        assert!(missing.is_empty(), "{missing:#?}");
    }

    #[test]
    fn values_and_their_own_texts_are_in_their_places() {
        for (english, chinese) in [
            ("there is no template `x`", "没有模板 `x`"),
            ("the token was rejected: expired", "令牌被拒绝：已过期"),
            ("2.0 % of the calls to STS failed in the last minute", "最近一分钟有 2.0 % 的 STS 调用失败"),
            (
                "if these are the app's tokens, add it to audience (config.toml:9)",
                "如果这是该应用的令牌，请把它加入 audience（config.toml:9）",
            ),
            (
                "Keys of 1h would save 40 % of the calls to STS; a key would then stay active up to 1h after a revocation, not 30m.",
                "有效期 1h 的密钥：可节省 40 % 的 STS 调用；吊销后密钥最长仍有效 1h，而不是 30m。",
            ),
            (
                "Min_remaining of 10m with a cache of 1GiB would hardly change the calls to STS; a served key would have a TTL of 10m or more.",
                "min_remaining 为 10m，缓存为 1GiB：STS 调用几乎不变；给出的密钥剩余时间不少于 10m。",
            ),
            ("A cache of 1GiB would cost 3 % more calls to STS.", "缓存为 1GiB：STS 调用会增加 3 %。"),
            ("A cache of 1GiB would still need no call to STS.", "缓存为 1GiB：仍然不需要 STS 调用。"),
            (
                "the template does not grant `name/cos:Fly`: there is no such action",
                "模板没有授予 `name/cos:Fly`：there is no such action",
            ),
            (
                "a statement would allow it, but has `a` on `b`, which the request lacks; ask again with `size`",
                "有语句会允许，但它以 `a` 限制 `b`，而请求没有；请填写 `size` 后再问",
            ),
            ("a text of nobody; and more", "a text of nobody; and more"),
        ] {
            assert_eq!(in_chinese(english), chinese);
        }
    }
}
