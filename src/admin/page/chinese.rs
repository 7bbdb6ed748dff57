//! The Chinese texts of the pages.

/// Returns the Chinese text of an English one, if there is one.
#[expect(clippy::match_same_arms, reason = "the texts are in the order of the pages")]
pub(super) fn chinese(english: &str) -> Option<&'static str> {
    Some(match english {
        // quantity
        "{} s" => "{} 秒",
        "{} min" => "{} 分钟",
        "{} h" => "{} 小时",
        "{} h {} min" => "{} 小时 {} 分钟",
        "{} d {} h" => "{} 天 {} 小时",
        "{} ago" => "{}前",
        "in {}" => "{}后",
        // layout
        "Overview" => "总览",
        "Keys" => "密钥",
        "What if" => "假设分析",
        "Metrics" => "指标",
        "live" => "实时",
        "not reachable" => "无法连接",
        "cosbroker operators" => "cosbroker 运维",
        "refused" => "被拒绝",
        "Token of [admin]" => "[admin] 的令牌",
        "Sign in" => "登录",
        "Sign out" => "退出登录",
        "This is not the token of [admin]." => "这不是 [admin] 的令牌。",
        "Too many wrong tokens came from this address. Try again in {} s." => {
            "该地址发来的错误令牌过多，请 {} 秒后再试。"
        }
        "The request was refused" => "请求被拒绝",
        "Previous" => "上一页",
        "Next" => "下一页",
        "page {} of {}" => "第 {} 页，共 {} 页",
        // overview
        "No requests in the last minute." => "最近一分钟没有请求。",
        "{} of all requests get no key" => "{} 的请求取不到密钥",
        "1 user gets no key" => "1 个用户取不到密钥",
        "{} users get no key" => "{} 个用户取不到密钥",
        "in the last minute, through no fault of theirs." => "（最近一分钟，不是他们的过错）。",
        "through no fault of theirs: {} of all requests of the last minute, {} per second." => {
            "不是他们的过错：占最近一分钟请求的 {}，每秒 {} 个。"
        }
        "The latest cause: " => "最近的原因：",
        "All refusals by cause" => "按原因查看全部拒绝",
        "No request failed in the last minute, but an alarm is critical." => {
            "最近一分钟没有请求失败，但有严重告警。"
        }
        ". " => "。",
        "." => "。",
        "{} per second, through no fault of the callers." => "每秒 {} 个，不是调用方的过错。",
        "Every user who may have a key gets one." => "凡有权取得密钥的用户都能取得。",
        "No active alarms." => "没有告警。",
        "Since {}." => "始于{}。",
        "since {}" => "始于{}",
        "critical" => "严重",
        "warning" => "警告",
        "now" => "现在",
        "Failing" => "失败",
        "Refused" => "拒绝",
        "Requests" => "请求",
        "Hit rate" => "命中率",
        "Cache latency" => "缓存延迟",
        "STS calls" => "STS 调用",
        "Active keys" => "有效密钥",
        "Stale coverage" => "STS 故障时的余量",
        "per second" => "每秒",
        "per second, the caller's fault" => "每秒，属于调用方的过错",
        "in the last minute" => "最近一分钟",
        "99th percentile of hits" => "命中请求的 99 分位",
        "per second, of {}" => "每秒，上限 {}",
        "issued by this broker" => "由本实例签发",
        "if STS fails now" => "假如 STS 此刻故障",
        "{} known" => "已知 {} 把",
        ", the last expires {}" => "，最后一把在{}过期",
        "; {} more are not listed, for lack of memory" => "；另有 {} 把因内存不足未列出",
        "No user is revoked." => "没有被吊销的用户。",
        "1 user is revoked." => "有 1 个用户被吊销。",
        "{} users are revoked." => "有 {} 个用户被吊销。",
        "cosbroker {}, started {}. Each replica shows its own figures." => {
            "cosbroker {}，启动于{}。每个副本只显示自己的数据。"
        }
        // charts
        "15min" => "15 分钟",
        "1h" => "1 小时",
        "24h" => "24 小时",
        "the last {}" => "最近 {}",
        "{} now, {} to {}" => "现在 {}，{} 至 {}",
        "started" => "启动",
        "templates reloaded" => "模板重新加载",
        "source credentials rotated" => "源密钥轮换",
        "Requests per second" => "每秒请求",
        "Latency" => "延迟",
        "STS calls per second" => "每秒 STS 调用",
        "all" => "全部",
        "failing" => "失败",
        "from the cache" => "来自缓存",
        "cache, median" => "缓存，中位数",
        "cache, 99 %" => "缓存，99 分位",
        "STS, median" => "STS，中位数",
        "failed" => "失败",
        "Requests since the start" => "启动以来的请求",
        "Misses" => "未命中",
        "from the cache, and renewed for later requests" => "来自缓存，并为之后的请求续期",
        "from an STS call that another request had started" => "来自另一请求已发起的 STS 调用",
        "from an STS call of its own" => "来自自己的 STS 调用",
        "an older key, because STS failed" => "因 STS 失败而给出的旧密钥",
        "no key" => "没有密钥",
        "never requested before" => "从未请求过",
        "too little time left" => "剩余时间太短",
        "removed to make space for other keys" => "为其他密钥腾出空间而移除",
        "the template changed" => "模板已更改",
        "the source credentials were rotated" => "源密钥已轮换",
        "the request needs more time than is left" => "请求需要的时间多于剩余时间",
        "the user was revoked and restored" => "用户被吊销后又恢复",
        // services
        "Circuit" => "熔断器",
        "Quota" => "配额",
        "Queue" => "队列",
        "Calls" => "调用",
        "Source credentials" => "源密钥",
        "{} used of {} per second" => "每秒 {}，上限 {}",
        ", throttled from {}" => "，限流前为 {}",
        "{}, {} failed" => "{}，失败 {}",
        "Without STS" => "没有 STS 时",
        "closed" => "闭合",
        "open" => "断开",
        "half open" => "半开",
        ", read {} ago" => "，{}前读取",
        ", not read yet" => "，尚未读取",
        "Active users" => "活跃用户",
        "Covered" => "已覆盖",
        "9 in 10 users" => "九成用户",
        "are served for {}" => "还可服务 {}",
        "Memory" => "内存",
        "Cached keys" => "缓存的密钥",
        "Size" => "大小",
        "Evicted" => "已淘汰",
        "{} of {}" => "{}，上限 {}",
        "Issuers" => "令牌签发者",
        "Isolation canary" => "隔离探测",
        "off; see [canary]" => "未启用；见 [canary]",
        "Audit log" => "审计日志",
        "off" => "未启用",
        "ready" => "就绪",
        "no keys" => "没有公钥",
        "keys from the configuration" => "公钥来自配置",
        "key set fetched {} ago" => "公钥集于{}前获取",
        "key set never fetched" => "从未获取公钥集",
        ", {} attempts failed" => "，失败 {} 次",
        ", the last: {}" => "，最近一次：{}",
        "the key {} is not used: {}" => "公钥 {} 未被使用：{}",
        "without kid" => "（没有 kid）",
        "isolated" => "已隔离",
        "broken" => "已破坏",
        "not known yet" => "尚不清楚",
        "slowest request {} ms" => "最慢的请求 {} 毫秒",
        "cannot be written" => "无法写入",
        "on" => "已启用",
        "{} lines" => "{} 行",
        ", {} lost" => "，丢失 {} 行",
        // fleet
        "Replicas" => "副本",
        "Replica" => "副本",
        "State" => "状态",
        "Started" => "启动时间",
        "There are more replicas than redis.replicas says, which is {}: raise it, because each takes its part of the quota by it when Redis is not used." => {
            "副本数多于 redis.replicas 所写的 {} 个：请调高，因为不使用 Redis 时，每个副本按它计算自己的那份配额。"
        }
        "The other replicas are unknown since {}: Redis refuses what replicas tell of themselves." => {
            "自{}起不知道其他副本的情况：Redis 拒绝副本写入自己的状态。"
        }
        "The other replicas are unknown since {}: Redis is not used." => {
            "自{}起不知道其他副本的情况：未使用 Redis。"
        }
        "this one" => "本副本",
        "older" => "较旧",
        "of {} for all" => "全部副本合计上限 {}",
        "of {} for it alone" => "单独上限 {}",
        "not heard of" => "失联",
        "for {}; before:" => "已 {}；此前：",
        "not ready" => "未就绪",
        "the circuit to STS is open" => "STS 熔断器已断开",
        // templates
        "Templates" => "模板",
        "The folder is active. Last read {}." => "目录已生效，最近读取于{}。",
        "The folder changed {} and is refused; the templates loaded {} stay active:" => {
            "目录于{}更改并被拒绝；{}加载的模板继续生效："
        }
        "{} is the shadow of no template and has no effect." => "{} 不是任何模板的影子，不起作用。",
        "Template" => "模板",
        "99th percentile" => "99 分位",
        "Refused per second" => "每秒拒绝",
        "Home" => "主目录",
        "Key lifetime" => "密钥有效期",
        "Version" => "版本",
        "default" => "默认",
        "requests in the last hour" => "最近一小时的请求",
        "shadow template, compared for {} users: {} could do more, {} less, {} would get no key" => {
            "影子模板，已比较 {} 个用户：{} 个权限增加，{} 个减少，{} 个将取不到密钥"
        }
        "shadow template is refused: {}" => "影子模板被拒绝：{}",
        // template
        "The folder is refused as it is now: an older version of this file is active." => {
            "目录的当前内容被拒绝：生效的是该文件的旧版本。"
        }
        "What does it grant?" => "授予哪些权限？",
        "Shadow template" => "影子模板",
        "Claims of the user's token, as JSON" => "用户令牌的声明（JSON）",
        "Action" => "操作",
        "Object key" => "对象键",
        "Size in bytes" => "大小（字节）",
        "Content type" => "内容类型",
        "Explain" => "解释",
        "The policy" => "策略",
        "What the shadow template would change in it" => "影子模板会带来的变化",
        "allowed" => "允许",
        "denied" => "拒绝",
        "cannot be read" => "无法读取",
        "No finding." => "没有发现问题。",
        "error" => "错误",
        "Nothing." => "没有变化。",
        // refusals
        "Recent refusals" => "最近的拒绝",
        "None since the start." => "启动以来没有。",
        "By cause, those that are not the caller's fault first. Times are since the start." => {
            "按原因分组，非调用方过错的在前。次数自启动起计。"
        }
        "Last" => "最近",
        "Refusal" => "拒绝",
        "Times" => "次数",
        "Users" => "用户",
        "Cause" => "原因",
        "Last request" => "最近的请求",
        "grant" => "权限",
        "unknown" => "未知",
        "and {} more" => "等另外 {} 个",
        "last from {}" => "最近来自 {}",
        "the log has a line with this id" => "日志中有此编号的行",
        "token: {}" => "令牌：{}",
        "wanted: {}" => "要求：{}",
        // keys
        "User, the {} of their tokens" => "用户，即其令牌的 {}",
        "Issuer" => "签发者",
        "any" => "任意",
        "Folder prefix" => "目录前缀",
        "Find keys" => "查找密钥",
        "User" => "用户",
        "Folder" => "目录",
        "Issued" => "签发",
        "Expires" => "过期",
        "Key id" => "密钥编号",
        "Since" => "始于",
        "revoked" => "已吊销",
        "{}: gets no key." => "{}起取不到密钥。",
        "Restore" => "恢复",
        "Revoke" => "吊销",
        "{} active keys" => "{} 把有效密钥",
        "{} active key, expires {}" => "{} 把有效密钥，{}过期",
        "{} active keys, the last expires {}" => "{} 把有效密钥，最后一把在{}过期",
        "No key on this page" => "本页没有密钥",
        "{} keys on this page" => "本页 {} 把密钥",
        ", of {} active keys" => "，有效密钥共 {} 把",
        "Enough keys were compared for one page; there may be more." => {
            "一页比较的密钥已达上限，可能还有更多。"
        }
        "First page" => "第一页",
        "Continue the search" => "继续查找",
        ". Only keys that this broker issued since its start {} are known" => {
            "。只知道本实例自{}启动以来签发的密钥"
        }
        ", without {} for lack of memory" => "，另有 {} 把因内存不足未记录",
        "narrowed" => "已收窄",
        "grant {}" => "授权 {}",
        "Revoked users" => "被吊销的用户",
        "Every request of this user will be refused with 403, even with a valid token." => {
            "该用户的所有请求都将以 403 拒绝，即使令牌有效。"
        }
        "The next request of this user will get a key again." => "该用户的下一个请求将重新取得密钥。",
        "Cancel" => "取消",
        "{} is revoked" => "{} 已被吊销",
        "{} is restored" => "{} 已恢复",
        "not saved" => "未保存",
        "This ends with the process: {}" => "进程结束后失效：{}",
        "This ends with the process: set limits.revoked_file to save it." => {
            "进程结束后失效：设置 limits.revoked_file 可将其保存。"
        }
        "Keys of this user" => "该用户的密钥",
        "still active" => "仍然有效",
        "{} key that is already issued cannot be withdrawn. It expires {}." => {
            "已签发的 {} 把密钥无法收回，{}过期。"
        }
        "{} keys that are already issued cannot be withdrawn. The last expires {}." => {
            "已签发的 {} 把密钥无法收回，最后一把在{}过期。"
        }
        "This broker issued no key to this user that is still active." => {
            "本实例没有向该用户签发仍然有效的密钥。"
        }
        // advice
        "The latest requests, replayed by the cache's rules with other settings." => {
            "用其他设置、按缓存的规则重放最近的请求。"
        }
        "Minimum remaining time when served" => "给出时的最短剩余时间",
        "Memory for keys" => "密钥可用的内存",
        "Replay" => "重放",
        "measured" => "实测",
        "your settings: {}" => "你的设置：{}",
        "Settings" => "设置",
        "Calls per hour" => "每小时调用",
        "Change" => "变化",
        "Busiest minute" => "最忙的一分钟",
        "Still active after a revocation" => "吊销后仍有效",
        "From {} requests in {}" => "基于 {} 个请求，历时 {}",
        ", sampled from one key in {} and scaled up" => "，每 {} 把密钥取样一把并放大",
        "; the figures are of the last {}, because the cache fills before that. Hits here include requests that waited for a call of another request. Memory is an estimate." => {
            "；数据取自最后 {}，因为此前缓存尚在填充。这里的命中包括等待其他请求的调用的请求。内存为估算。"
        }
        _ => return None,
    })
}
