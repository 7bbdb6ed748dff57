//! The Chinese of texts with values in them: alarms, causes of refusals, and advice.
//!
//! These texts are made elsewhere, for the log and the API as well. They are recognised here by their form, in which `{}`
//! stands for a value.

/// Returns a text in Chinese, or as it is where it has no known form.
pub(super) fn in_chinese(text: &str) -> String {
    known(text).or_else(|| in_parts(text)).unwrap_or_else(|| text.to_owned())
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

/// Returns the Chinese of a text of several parts, if at least one is known: what is wrong and what to do, or a help and the
/// line of the configuration.
fn in_parts(text: &str) -> Option<String> {
    if let Some((help, place)) = text.strip_suffix(')').and_then(|text| text.rsplit_once(" ("))
        && let Some(help) = known(help)
    {
        return Some(format!("{help}（{place}）"));
    }
    if let Some(sentence) = text.strip_suffix('.') {
        return known(sentence).or_else(|| in_parts(sentence)).map(|sentence| format!("{sentence}。"));
    }
    let (first, rest) = text.split_once("; ")?;
    match (known(first), in_chinese(rest)) {
        (None, same) if same == rest => None,
        (first_known, rest) => Some(format!("{}；{rest}", first_known.as_deref().unwrap_or(first))),
    }
}

/// Returns what stands in the places of `{}`, if the text has this form.
fn values<'a>(form: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = form.split("{}");
    let mut rest = text.strip_prefix(parts.next()?)?;
    let mut parts = parts.peekable();
    let mut values = Vec::new();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        let end = if is_last { rest.strip_suffix(part)?.len() } else { rest.find(part)? };
        let (value, after) = rest.split_at_checked(end)?;
        values.push(value);
        rest = after.strip_prefix(part)?;
    }
    rest.is_empty().then_some(values)
}

/// The forms, the more special before the more general.
const FORMS: [(&str, &str); 196] = [
    // alarms
    (
        "{} % of the requests of the last minute got no key, through no fault of the callers",
        "最近一分钟有 {} % 的请求未取得密钥，不是调用方的过错",
    ),
    (
        "the circuit to STS is open, because its latest calls failed: users without a cached key get 503",
        "STS 熔断器因最近的调用失败而断开：没有缓存密钥的用户得到 503",
    ),
    ("{} % of the calls to STS failed in the last minute", "最近一分钟有 {} % 的 STS 调用失败"),
    (
        "STS throttles this account: {} of {} calls a second are made",
        "STS 对该账号限流：每秒只调用 {} 次，上限本为 {} 次",
    ),
    (
        "more than 80 % of the quota of {} STS calls a second is used",
        "每秒 {} 次的 STS 调用配额已用去 80 % 以上",
    ),
    (
        "the templates' folder is refused, and the last good set stays active: {}",
        "模板目录被拒绝，上一个正确的版本继续生效：{}",
    ),
    (
        "the last revocation ends with this process: limits.revoked_file cannot be written",
        "最近一次吊销在进程结束后失效：无法写入 limits.revoked_file",
    ),
    (
        "ISOLATION IS BROKEN: one synthetic user reached the objects of another: {}",
        "隔离被破坏：一个合成用户访问到了另一个的对象：{}",
    ),
    (
        "COS denies what a template grants, so users cannot write: {}",
        "COS 拒绝了模板授予的权限，用户无法写入：{}",
    ),
    ("see the log", "见日志"),
    (
        "tokens of {} cannot be verified: its key set cannot be fetched",
        "无法校验 {} 的令牌：取不到它的公钥集",
    ),
    (
        "Redis is not used, and this replica goes on alone with {} calls to STS a second: {}",
        "未使用 Redis，本副本独自以每秒 {} 次 STS 调用继续工作：{}",
    ),
    ("another replica serves a later version of the templates", "另一个副本使用了更新的模板"),
    (
        "{} values in Redis were not ours, altered or moved, and were not used",
        "Redis 中有 {} 个值不是本服务写入的、被改动或被移动过，未被使用",
    ),
    ("{} revocations are not known to the other replicas", "有 {} 次吊销尚未被其他副本知道"),
    ("the audit log cannot be written", "审计日志无法写入"),
    ("{} audit lines are lost since the start", "启动以来丢失了 {} 行审计日志"),
    (
        "see the refusals with a status of 500 or more below for their causes",
        "原因见下方状态码为 500 及以上的拒绝",
    ),
    (
        "see the refusals below and the log for what STS responded; calls start again by themselves once STS works",
        "STS 的应答见下方的拒绝和日志；STS 恢复后调用会自动恢复",
    ),
    (
        "see the codes in cosbroker_sts_calls_total: correct source credentials or templates that STS rejects; other failures are retried",
        "错误码见 cosbroker_sts_calls_total：请更正被 STS 拒绝的源密钥或模板；其他失败会自动重试",
    ),
    (
        "other services use the account's quota; lower sts.calls_per_second or ask Tencent for a higher quota",
        "其他服务也在使用该账号的配额；请调低 sts.calls_per_second，或向腾讯云申请更高配额",
    ),
    (
        "raise sts.calls_per_second if the account's quota is higher, or give keys a longer lifetime",
        "如果账号配额更高，请调高 sts.calls_per_second，或延长密钥有效期",
    ),
    ("correct the file", "请更正该文件"),
    (
        "free disk space or grant write access to its folder, then revoke again: that writes all revoked users",
        "请释放磁盘空间或授予目录写权限，然后再次吊销：届时会写入全部被吊销的用户",
    ),
    (
        "check the bucket's policy and ACL and run cosbroker verify-isolation; if the bucket is not public, stop this broker",
        "请检查存储桶的策略和 ACL，并运行 cosbroker verify-isolation；如果存储桶不是公有的，请停止本实例",
    ),
    (
        "check the permissions of the source credentials, the bucket's policy, and the bucket and region that the template names",
        "请检查源密钥的权限、存储桶的策略，以及模板所写的存储桶和地域",
    ),
    (
        "check that its jwks_url responds from here; the log has the error",
        "请检查从本机能否访问其 jwks_url；错误见日志",
    ),
    ("free disk space; the queued lines are written then", "请释放磁盘空间，届时会写入排队的日志行"),
    (
        "free disk space, or use a faster disk; the log itself says where lines are missing",
        "请释放磁盘空间或改用更快的磁盘；日志本身标明了缺失的位置",
    ),
    ("check Redis and the network; it is used again by itself", "请检查 Redis 和网络；恢复后会自动使用"),
    (
        "update the templates of this one; while a new version is rolled out, this is expected",
        "请更新本副本的模板；新版本逐步发布期间这是正常的",
    ),
    (
        "find out who else writes to this Redis under redis.key_prefix, or with which key other replicas encrypt",
        "请查明还有谁在此 Redis 的 redis.key_prefix 下写入，或其他副本用哪个密钥加密",
    ),
    (
        "until Redis is used again, revoke the users at each replica",
        "在 Redis 恢复之前，请在每个副本上分别吊销这些用户",
    ),
    // tokens
    ("the token was rejected: {}", "令牌被拒绝：{}"),
    ("the issuer's keys are not available", "取不到签发者的公钥"),
    (
        "no key of the issuer fits the token, and its key set may be fetched again only in {}",
        "签发者的公钥都不适用于该令牌，{} 之后才可再次获取其公钥集",
    ),
    ("no bearer token", "没有 Bearer 令牌"),
    ("no `Bearer ` before the token", "令牌前没有 `Bearer `"),
    ("not a JWT: an opaque token", "不是 JWT，而是不透明令牌"),
    ("an encrypted JWT (JWE)", "加密的 JWT（JWE）"),
    ("base64url with padding", "base64url 带有填充"),
    ("malformed", "格式错误"),
    ("a header that is refused", "头部被拒绝"),
    ("algorithm not allowed", "不允许的算法"),
    ("wrong typ", "typ 不符"),
    ("unknown issuer", "未知的签发者"),
    ("another tenant than in the issuer", "租户与签发者中的不同"),
    ("unknown key", "未知的公钥"),
    ("bad signature", "签名错误"),
    ("wrong audience", "受众不符"),
    ("no expiry", "没有过期时间"),
    ("`exp` is a text, not a number", "`exp` 是文本而不是数字"),
    ("`exp` is in milliseconds, not seconds", "`exp` 的单位是毫秒而不是秒"),
    ("expired", "已过期"),
    ("not yet valid", "尚未生效"),
    (
        "the token's `{}` is {}; it must be a JSON string that is not empty, or an integer of zero or more",
        "令牌的 `{}` {}；它须为非空的 JSON 字符串，或不小于零的整数",
    ),
    ("missing", "缺失"),
    ("empty", "为空"),
    ("of another type", "类型不符"),
    ("the token is too large", "令牌过大"),
    ("if the issuer signs with it, list it in algorithms", "如果签发者用它签名，请把它列入 algorithms"),
    ("send the other kind of token, or change required_typ", "请发送另一种令牌，或更改 required_typ"),
    ("any", "任意"),
    ("any, because the issuer has no tenants", "任意，因为该签发者没有租户"),
    ("\"{}\", as in `iss`", "“{}”，与 `iss` 中相同"),
    ("only tokens whose `{}` repeats the tenant are accepted", "只接受 `{}` 与租户相同的令牌"),
    ("no `aud`", "没有 `aud`"),
    (
        "if these are the app's tokens, list their audience in audience",
        "如果这是该应用的令牌，请把其受众列入 audience",
    ),
    (
        "if these are the app's tokens, name the claim that they have in audience_claim, or write audience = \"absent\"",
        "如果这是该应用的令牌，请在 audience_claim 中写出其受众声明，或写 audience = \"absent\"",
    ),
    ("if these are the app's tokens, add it to audience", "如果这是该应用的令牌，请把它加入 audience"),
    ("one of {}", "下列之一：{}"),
    ("sign in again; if the clocks differ, correct them", "请重新登录；如果时钟不一致，请校正"),
    (
        "let the issuer set `exp` to seconds since 1970, as a number (RFC 7519 §4.1.4)",
        "请让签发者把 `exp` 写成 1970 年以来的秒数，类型为数字（RFC 7519 §4.1.4）",
    ),
    ("nothing to do", "无需处理"),
    ("a time after {}, with a leeway of {}", "晚于 {} 的时间，容差 {}"),
    ("none, or a time before {}, with a leeway of {}", "没有，或早于 {} 的时间，容差 {}"),
    ("none", "没有"),
    ("correct the clocks of issuer and broker", "请校正签发者和本机的时钟"),
    (
        "if these are the app's tokens, set issuer_claim = \"absent\" for their [[issuer]]",
        "如果这是该应用的令牌，请在其 [[issuer]] 中设置 issuer_claim = \"absent\"",
    ),
    (
        "if these are the app's tokens, write exactly this as issuer, or add it to aliases",
        "如果这是该应用的令牌，请把 issuer 写成与此完全一致，或加入 aliases",
    ),
    (
        "see that the key set is the one of this issuer, and that the token is not from another of its environments",
        "请确认公钥集属于该签发者，且令牌不是来自它的另一个环境",
    ),
    (
        "see that the issuer signs with the same bytes: secret_encoding says how the secret is written",
        "请确认签发者用同样的字节签名：secret_encoding 说明密钥的写法",
    ),
    (
        "see that the key is the one of this issuer, and that nothing changed the token on its way",
        "请确认公钥属于该签发者，且令牌在途中没有被改动",
    ),
    ("kid: {}, alg: {}", "kid：{}，alg：{}"),
    ("one configured key, whatever the `kid`", "配置中的一把公钥，不看 `kid`"),
    ("a key set that could not be read so far", "至今读不到的公钥集"),
    ("a key set with the kids {}", "公钥集，kid 有 {}"),
    // grants
    ("there is no template `{}`", "没有模板 `{}`"),
    ("no template was named, and none is the default", "请求没有指定模板，也没有默认模板"),
    (
        "this template requires the claim `{}` with a value the token does not carry",
        "该模板要求声明 `{}` 具有令牌中没有的值",
    ),
    ("a scope has 1 to {} items; this one has {}", "范围含 1 至 {} 项，该范围含 {} 项"),
    (
        "the scope makes a policy of {} bytes, more than STS takes; ask for fewer items or shorter prefixes",
        "该范围的策略有 {} 字节，超过 STS 的上限；请减少项数或缩短前缀",
    ),
    ("scope item {} is refused: {}", "范围第 {} 项被拒绝：{}"),
    ("bucket and region must be {} and {}", "存储桶和地域须为 {} 和 {}"),
    ("`{}` is not a key, nor a prefix ending in `*`: {}", "`{}` 既不是对象键，也不是以 `*` 结尾的前缀：{}"),
    ("the template does not grant `{}` on `{}`", "模板没有授予对 `{}` 的操作，路径为 `{}`"),
    ("it begins with `/`; leave the slash out", "它以 `/` 开头，请去掉"),
    ("it has a segment `.` or `..`", "它含有 `.` 或 `..` 段"),
    ("it holds `{}`, which policies cannot spell", "它含有策略无法表示的 `{}`"),
    ("the verifier refused a rendering of template `{}`: {}", "校验器拒绝了模板 `{}` 的渲染结果：{}"),
    ("a broken escape", "转义不完整"),
    ("a byte that should be escaped", "有应当转义的字节"),
    ("an escape in another spelling than `%2F`", "转义的写法不是 `%2F`"),
    ("is not JSON: {}", "不是 JSON：{}"),
    ("its {} is not an object", "其 {} 不是对象"),
    ("its {} holds `{}`", "其 {} 含有 `{}`"),
    ("its {} is not a list of strings", "其 {} 不是字符串列表"),
    ("its version is not 2.0", "其版本不是 2.0"),
    ("it has no statement", "没有语句"),
    ("an effect is neither allow nor deny", "效力既不是允许也不是拒绝"),
    ("it allows nothing", "没有允许任何操作"),
    ("it allows `{}`", "它允许 `{}`"),
    ("it lists without a cos:prefix under the home", "列出对象时没有主目录下的 cos:prefix"),
    ("it mixes lists with object actions", "列出操作与对象操作混在一起"),
    ("it reaches `{}`, outside the home `{}`", "它涉及 `{}`，在主目录 `{}` 之外"),
    ("the evaluator lets it reach `{}`", "求值结果使它可访问 `{}`"),
    ("the home has an open variable", "主目录含有未限定的变量"),
    ("`{}` is not a home", "`{}` 不是主目录"),
    ("`{}` is missing", "缺少 `{}`"),
    ("`{}` does not fit its claim", "`{}` 与其声明不符"),
    ("`{}` renders to something that is not plain", "`{}` 的渲染结果含有特殊字符"),
    // keys and STS
    ("this user is revoked", "该用户已被吊销"),
    ("this user exceeds limits.per_user", "该用户超过 limits.per_user"),
    ("this user exceeds limits.scopes_per_user", "该用户超过 limits.scopes_per_user"),
    (
        "min_remaining is {} s; for this template at most {} s can be requested",
        "min_remaining 为 {} 秒；该模板最多可要求 {} 秒",
    ),
    ("STS throttles this account ({})", "STS 对该账号限流（{}）"),
    (
        "STS cannot be reached or understood ({}); check sts.endpoint and the network",
        "无法访问 STS 或读懂其应答（{}）；请检查 sts.endpoint 和网络",
    ),
    ("the quota of STS calls is used up", "STS 调用配额已用尽"),
    ("the circuit to STS is open after repeated failures", "STS 熔断器因连续失败而断开"),
    (
        "STS rejects the source credentials or the clock ({}); check the keys that [sts] names, their rights, and this machine's clock",
        "STS 拒绝了源密钥或时钟（{}）；请检查 [sts] 所写的密钥、其权限以及本机时钟",
    ),
    (
        "STS rejects what template `{}` requests ({}); check its bucket, region and duration, and sts.role_arn",
        "STS 拒绝了模板 `{}` 的请求（{}）；请检查其存储桶、地域和有效期，以及 sts.role_arn",
    ),
    ("no answer in time", "未及时应答"),
    // requests
    ("the body is larger than {} bytes", "请求体超过 {} 字节"),
    ("the body did not arrive in time", "请求体未及时到达"),
    ("the head of the request did not arrive in time", "请求头未及时到达"),
    (
        "the request's path or query has characters beyond ASCII; percent-encode them as UTF-8, such as `%E7%85%A7` for `照`",
        "请求的路径或查询含有 ASCII 以外的字符；请按 UTF-8 做百分号编码，例如 `照` 写作 `%E7%85%A7`",
    ),
    ("the request is no HTTP/1.1", "请求不是 HTTP/1.1"),
    ("the head of the request is larger than this service reads", "请求头超过本服务读取的上限"),
    ("there are too many connections", "连接过多"),
    ("there is no such route", "没有该路由"),
    ("this route accepts {}", "该路由接受 {}"),
    ("the query cannot be read: {}", "无法读取查询：{}"),
    ("the query parameter `{}` is missing", "缺少查询参数 `{}`"),
    ("the body cannot be read: {}", "无法读取请求体：{}"),
    ("the body is not JSON: {}", "请求体不是 JSON：{}"),
    ("the body is not what this route accepts: {}", "请求体不符合该路由的要求：{}"),
    ("{} `{}` cannot be read; give {}", "{} 的 `{}` 无法读取；请给出 {}"),
    (
        "format `{}` is unknown; give `sts3`, or leave it out for the STS SDK JSON",
        "未知的 format `{}`；请写 `sts3`，或省略以取得 STS SDK 的 JSON",
    ),
    ("min_remaining: {}", "min_remaining：{}"),
    (
        "pages of the origin `{}` may not call this API; server.cors_origins lists those that may",
        "来源为 `{}` 的网页不可调用此 API；server.cors_origins 列出可调用者",
    ),
    ("pages may not send {}; the API has {}", "网页不可发送 {}；该 API 有 {}"),
    (
        "pages may not send the header `{}`; server.cors_headers lists those that are allowed besides {}",
        "网页不可发送头部 `{}`；除 {} 之外，允许者列于 server.cors_headers",
    ),
    // advice
    (
        "no requests are recorded, because cache.advice_bytes is \"off\"; set it to a size like \"4MiB\" and restart",
        "没有记录请求，因为 cache.advice_bytes 为 \"off\"；请设为 \"4MiB\" 之类的大小并重启",
    ),
    (
        "{} requests can be measured, and at least {} are needed; try again later",
        "可供计算的请求有 {} 个，至少需要 {} 个；请稍后再试",
    ),
    (
        "keys of {} can be judged from requests of {}, and those recorded reach back {}; try again later, or raise cache.advice_bytes if this does not grow",
        "有效期 {} 的密钥需要 {} 的请求才能判断，而已记录的只有 {}；请稍后再试，若不再增长请调大 cache.advice_bytes",
    ),
    (
        "STS issues keys of {} at most, not of {}; name a shorter lifetime",
        "STS 签发的密钥最长为 {}，不能是 {}；请写更短的有效期",
    ),
    (
        "keys of {} never have a TTL of min_remaining, {}; name a longer lifetime or a shorter min_remaining",
        "有效期 {} 的密钥永远达不到 min_remaining 的 {}；请写更长的有效期或更短的 min_remaining",
    ),
    (
        "No other setting tried here would save a tenth of the calls to STS",
        "试过的其他设置都不能节省十分之一的 STS 调用",
    ),
    ("{} would save {} % of the calls to STS", "{}：可节省 {} % 的 STS 调用"),
    ("{} would cost {} % more calls to STS", "{}：STS 调用会增加 {} %"),
    ("{} would hardly change the calls to STS", "{}：STS 调用几乎不变"),
    ("{} would still need no call to STS", "{}：仍然不需要 STS 调用"),
    (
        "a key would then stay active up to {} after a revocation, not {}",
        "吊销后密钥最长仍有效 {}，而不是 {}",
    ),
    (
        "{} requests would be refused, because they ask for a longer TTL",
        "有 {} 个请求会因要求更长的剩余时间而被拒绝",
    ),
    ("a served key would have a TTL of {} or more", "给出的密钥剩余时间不少于 {}"),
    ("{} with min_remaining of {}", "{}，min_remaining 为 {}"),
    ("{} with a cache of {}", "{}，缓存为 {}"),
    ("Keys of {}", "有效期 {} 的密钥"),
    ("Min_remaining of {}", "min_remaining 为 {}"),
    ("A cache of {}", "缓存为 {}"),
    ("as set, replayed", "现有设置，重放"),
    // explain
    ("a statement allows it", "有语句允许"),
    (
        "a statement allows it, and a deny depends on `{}`, which every request has and this question does not say",
        "有语句允许；另有拒绝语句取决于 `{}`，每个请求都有它，而此处没有写明",
    ),
    ("a statement denies it, whatever else allows it", "有语句拒绝，无论其他语句是否允许"),
    ("a condition is not met", "有条件未满足"),
    (
        "no statement grants it on `{}`; this key's own folder is `{}`",
        "没有语句在 `{}` 上授予它；该密钥自己的目录是 `{}`",
    ),
    ("the template does not grant `{}`: {}", "模板没有授予 `{}`：{}"),
    ("the template does not grant `{}`", "模板没有授予 `{}`"),
    (
        "a statement would allow it, but `{}` is `{}`, against its `{}`",
        "有语句会允许，但 `{}` 为 `{}`，不符合其 `{}`",
    ),
    (
        "a statement would allow it, but has `{}` on `{}`, which the request lacks; ask again with `{}`",
        "有语句会允许，但它以 `{}` 限制 `{}`，而请求没有；请填写 `{}` 后再问",
    ),
    (
        "a statement would allow it, but has `{}` on `{}`, which the request lacks",
        "有语句会允许，但它以 `{}` 限制 `{}`，而请求没有",
    ),
    // claims
    ("is missing", "缺失"),
    ("is not a JSON integer of zero or more", "不是不小于零的 JSON 整数"),
    ("is {}, not a JSON string", "是{}，不是 JSON 字符串"),
    ("is empty", "为空"),
    (
        "is longer than {} bytes; a template can take such values with the filter `sha256`",
        "超过 {} 字节；模板可用过滤器 `sha256` 接受这样的值",
    ),
    ("is longer than {} bytes", "超过 {} 字节"),
    ("holds {}, which is not one of A-Z a-z 0-9 . _ -", "含有 {}，它不属于 A-Z a-z 0-9 . _ -"),
    ("does not begin with a letter or digit", "不以字母或数字开头"),
    ("ends with `.`", "以 `.` 结尾"),
    ("holds `..`", "含有 `..`"),
    ("a template can take both with a filter, as in `{}`", "模板可用过滤器接受两者，如 `{}`"),
    ("a template can take such values with a filter, as in `{}`", "模板可用过滤器接受这样的值，如 `{}`"),
    ("any, and none is used", "任意，均不使用"),
    (
        "if the issuer puts it into every token, set header_keys = \"ignore\"",
        "如果签发者在每个令牌中都放入它，请设置 header_keys = \"ignore\"",
    ),
    ("the token's `{}` {}", "令牌的 `{}`：{}"),
];

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

    fn is_translated(text: &str) -> bool {
        FORMS.iter().any(|(english, _)| *english == text) || in_chinese(text) != text
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
            include_str!("../../credential_cache/advice/summary.rs"),
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
            ("a text of nobody; and more", "a text of nobody; and more"),
        ] {
            assert_eq!(in_chinese(english), chinese);
        }
    }
}
