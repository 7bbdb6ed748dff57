//! The scripts that run in Redis. Each is one step that no other replica sees half done.
//!
//! A script is sent whole each time: it is a kilobyte or two, and Redis keeps it compiled.

/// Gives turns: a rate limit (GCRA) whose state is the time of the next turn, in microseconds of Redis's clock.
///
/// `take` returns how many turns there are and when the first is, or none and when there may be some. A refresh gets one
/// only if none is given out ahead: users go first. Without a state, as after `FLUSHALL`, it begins where no turn can
/// have been given out before. A state far ahead is not ours. After an outage, those who are back share the part of one,
/// because the others may not know yet.
macro_rules! take {
    () => {
        r"
local function take(key, outage, interval, count, horizon, is_for_refresh, replicas)
  if redis.call('EXISTS', outage) == 1 then interval, count = interval * replicas, math.min(count, 1) end
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local state = tonumber(redis.call('GET', key) or '')
  local next = state or now + horizon
  if next > now + 2 * (horizon + interval) then next = now + horizon end
  if state and next < now then next = now end
  local given, first = 0, next
  local latest = is_for_refresh and now or now + horizon
  while given < count and next <= latest do
    next = next + interval
    given = given + 1
  end
  if given > 0 or not state then redis.call('SET', key, string.format('%.0f', next)) end
  if given > 0 then return given, first - now end
  return 0, first - latest
end
"
    };
}

/// Gives turns. Keys: the quota, the outage. Arguments: interval, count, horizon, 1 for a refresh, how many replicas
/// there are.
pub(super) const TURNS: &str = concat!(
    take!(),
    r"
local given, first = take(
  KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1', tonumber(ARGV[5])
)
return {given, first}
"
);

/// The scopes for which a user holds credentials: a sorted set of names of credentials, by the time when each expires in
/// milliseconds of Redis's clock.
///
/// `room` returns whether a scope has room, and else when the first expires. `hold` counts it, and returns 1 if it is new.
/// Both use few commands, so that the access control list stays short.
macro_rules! scopes {
    () => {
        r"
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function room(key, scope, most)
  local now = now_ms()
  local held = redis.call('ZRANGEBYSCORE', key, string.format('(%.0f', now), '+inf', 'WITHSCORES')
  for at = 1, #held, 2 do if held[at] == scope then return true end end
  if #held / 2 < most then return true end
  return false, tonumber(held[2]) - now
end
local function hold(key, scope, lifetime)
  local now = now_ms()
  for _, over in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now)) do redis.pcall('ZREM', key, over) end
  local added = redis.pcall('ZADD', key, now + lifetime, scope)
  if redis.call('PTTL', key) < lifetime then redis.pcall('PEXPIRE', key, lifetime) end
  return added == 1 and 1 or 0
end
"
    };
}

/// Looks for a credential; else takes the lease to fetch it, with turns, unless its scope is one too many.
///
/// Keys: the credential under the present key and under the previous one, the lease, those of [`TURNS`], and the user's
/// scopes if there is a bound. Arguments: the holder, the time of the lease, the time that the credential must have left,
/// both in milliseconds; those of [`TURNS`]; and with a bound the scope, how many there may be, and the lifetime of its
/// credential in milliseconds. Returns what became of it (0 leased, 1 found, 2 leased by another, 3 cannot be leased, 4
/// one scope too many), the credential or an older one that is still active, which of the two keys it was under, for 0
/// the turns, for 4 nothing and the milliseconds until there is room, and for 0 whether the scope is new.
macro_rules! join {
    () => {
        r"
local older, older_key, older_ttl = false, 0, 0
for key = 1, 2 do
  local ttl = redis.call('PTTL', KEYS[key])
  if ttl > older_ttl then
    older, older_key, older_ttl = redis.call('GET', KEYS[key]), key, ttl
  end
end
if older and older_ttl >= tonumber(ARGV[3]) then return {1, older, older_key, 0, 0, 0} end
if KEYS[6] and not older then
  local has_room, room_in = room(KEYS[6], ARGV[9], tonumber(ARGV[10]))
  if not has_room then return {4, older, older_key, 0, room_in, 0} end
end
local leased = redis.pcall('SET', KEYS[3], ARGV[1], 'NX', 'PX', ARGV[2])
if not leased then return {2, older, older_key, 0, 0, 0} end
if leased.err then return {3, older, older_key, 0, 0, 0} end
local is_new = KEYS[6] and hold(KEYS[6], ARGV[9], tonumber(ARGV[11])) or 0
local given, first = take(
  KEYS[4], KEYS[5], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1', tonumber(ARGV[8])
)
return {0, older, older_key, given, first, is_new}
"
    };
}

/// For a credential without a bound.
pub(super) const JOIN: &str = concat!(take!(), join!());
/// For the credential of a scope.
pub(super) const JOIN_FOR_SCOPE: &str = concat!(take!(), scopes!(), join!());

/// Keeps a lease. Key: the lease. Arguments: the holder, the time in milliseconds. Returns 1 if it is still held.
pub(super) const RENEW: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
";

/// Ends a lease with a credential, and wakes who waits.
///
/// Keys: the credential, the lease. Arguments: the holder, the credential, its time in milliseconds, the channel, the
/// name, and 1 to replace what is there. Who lost the lease stores only if there is neither a credential nor another
/// holder: what others are handed out as the one flight stays. Returns 1 if it is stored, 0 if not, or the error.
pub(super) const FINISH: &str = r"
local holder = redis.call('GET', KEYS[2])
local holds = holder == ARGV[1]
local stored = 0
if holds or ARGV[6] == '1' or (not holder and redis.call('EXISTS', KEYS[1]) == 0) then
  stored = redis.pcall('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
if holds then redis.call('DEL', KEYS[2]) end
redis.call('PUBLISH', ARGV[4], ARGV[5])
if type(stored) == 'table' and stored.err then return stored end
if stored == 0 then return 0 end
return 1
";

/// Ends a lease without a credential, and wakes who waits. Keys: the lease, and the user's scopes if the scope was new.
/// Arguments: the holder, the channel, the name, which is the scope's as well.
pub(super) const ABANDON: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
if KEYS[2] then redis.call('ZREM', KEYS[2], ARGV[3]) end
return redis.call('PUBLISH', ARGV[2], ARGV[3])
";

/// Counts requests of users: a rate limit (GCRA) for each, whose state is the time when nothing of it is used any more,
/// in microseconds of Redis's clock.
///
/// The requests count as sent when the first of them was: who keeps to the limit is never told to wait because counts come
/// late. Keys: one for each user. Arguments: the interval of the limit, the age of the first request, the longest use that
/// there can be, all in microseconds; then how many requests of each user. Returns how much each has used, in microseconds.
pub(super) const COUNT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, since, latest = tonumber(ARGV[1]), now - ARGV[2], now + ARGV[3]
local used = {}
for user, key in ipairs(KEYS) do
  local from = math.max(tonumber(redis.call('GET', key) or '') or since, since)
  local unused_from = math.min(from + interval * ARGV[user + 3], latest)
  used[user] = unused_from - now
  if used[user] > 0 then
    redis.call('SET', key, string.format('%.0f', unused_from), 'PX', math.ceil(used[user] / 1000))
  end
end
return used
";

/// Says that a replica lives, and returns what the others say.
///
/// Keys: what the replicas say, when they were seen, when versions of templates were first seen, the number of changes
/// of revocations, the outage, what those with the previous encryption key say. Arguments: the replica, what it says, the time
/// after which a replica is gone, the version of its templates, how many versions are remembered, the silence that is an
/// outage, the time in which all return from it, 1 if this replica returns; then replicas whose words are removed. Times
/// are milliseconds. Returns what all say under the one key and under the other, the versions in their order, and the
/// number of changes.
pub(super) const HEARTBEAT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local latest = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
local is_outage = ARGV[8] == '1' and (not latest[2] or tonumber(latest[2]) < now - tonumber(ARGV[6]))
if is_outage then redis.call('SET', KEYS[5], '1', 'PX', ARGV[7]) end
local removed = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[3]))
for _, replica in ipairs(removed) do redis.call('ZREM', KEYS[2], replica) end
for at = 9, #ARGV do removed[#removed + 1] = ARGV[at] end
for _, replica in ipairs(removed) do
  redis.call('HDEL', KEYS[1], replica)
  redis.call('HDEL', KEYS[6], replica)
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZADD', KEYS[3], 'NX', now, ARGV[4])
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -1 - tonumber(ARGV[5]))
local previous = {}
if KEYS[6] ~= KEYS[1] then previous = redis.call('HGETALL', KEYS[6]) end
local versions = redis.call('ZRANGE', KEYS[3], 0, -1)
return {redis.call('HGETALL', KEYS[1]), previous, versions, redis.call('GET', KEYS[4]) or '0'}
";

/// Writes changes of revocations, and tells the others.
///
/// Keys: the changes, their number. Arguments: the channel, the time in milliseconds after which unused changes are
/// dropped; then name and change, again and again.
pub(super) const REVOKE: &str = r"
for at = 3, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('INCR', KEYS[2])
return redis.call('PUBLISH', ARGV[1], '')
";

/// Runs each command that the other scripts use, on keys of its own, which it deletes.
///
/// Keys: a text, a hash, a sorted set, a number. Arguments: the text, the time in milliseconds after which what is not
/// deleted lapses, a channel on which nobody waits for this message. Returns the commands that were refused, each with its
/// error, and the text as it was read.
pub(super) const TRY: &str = r"
local refused = {}
local function try(...)
  local answer = redis.pcall(...)
  if type(answer) == 'table' and answer.err then refused[#refused + 1] = (...) .. ': ' .. answer.err end
  return answer
end
try('TIME')
try('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local text = try('GET', KEYS[1])
try('PTTL', KEYS[1])
try('EXISTS', KEYS[1])
try('HSET', KEYS[2], 'field', ARGV[1])
try('PEXPIRE', KEYS[2], ARGV[2])
try('HGETALL', KEYS[2])
try('HDEL', KEYS[2], 'field')
try('ZADD', KEYS[3], 'NX', 0, 'member')
try('ZRANGE', KEYS[3], 0, -1)
try('ZRANGEBYSCORE', KEYS[3], '-inf', 0)
try('ZREMRANGEBYRANK', KEYS[3], 0, -2)
try('ZREM', KEYS[3], 'member')
try('INCR', KEYS[4])
redis.pcall('PEXPIRE', KEYS[4], ARGV[2])
try('PUBLISH', ARGV[3], '')
for key = 1, 4 do try('DEL', KEYS[key]) end
if type(text) == 'table' then text = false end
return {refused, text}
";
