// What an app does with Tencent's JavaScript SDKs, step by step. Runs in Node and in a page, and asserts nothing:
// the expected results are in tests/sdks/sdks.rs.
//
// `world` is the environment: { COS, ways, broker, cloud, say, blob(bytes), file(bytes), download }. `ways` are options
// that point the SDK at the sandbox; all steps but one use the first. `blob` and `file` make bodies and upload parameters
// of bytes; `download` makes the SDK return bytes.

export const BUCKET = { Bucket: "examplebucket-1250000000", Region: "ap-guangzhou" };
const SOURCE = "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com";
export const FILES = "/v1/credentials/files";
const MIB = 1024 * 1024;
const MINUTE = 60_000;
/** So much of the shipped templates' half hour that the SDKs request another key. */
const NEARLY_EXPIRED = 29.5 * MINUTE;
const LARGE = 21 * MIB;

export async function scenario(environment) {
  const world = { ...environment, pointing: Object.values(environment.ways)[0] };
  const alice = await tokenOf(world, "alice");
  const bob = await tokenOf(world, "bob");
  await everyWay(world, alice);
  await ownHome(world, alice);
  await pages(world, alice);
  await otherHomes(world, alice, bob);
  await forgeries(world, alice, bob);
  await bounds(world, alice);
  await wrongClocks(world, alice);
  await refresh(world, alice);
  await expiry(world, alice);
}

/** The SDK can be pointed at the sandbox in several ways. */
async function everyWay(world, alice) {
  const at = { ...BUCKET, Key: "users/alice/way + 路.txt" };
  for (const [name, pointing] of Object.entries(world.ways)) {
    const cos = app({ ...world, pointing }, alice, FILES);
    await attempt(world, `reached by ${name}`, async () => {
      await put(cos, at.Key, name);
      return (await fetched(world, cos, at).then(text)) === name ? "the same content" : "other content";
    });
  }
}

/** A key of each route allows everything in the user's own home. */
async function ownHome(world, alice) {
  const routes = {
    "/v1": FILES,
    "/sts": "/sts",
    "/sign": "/sign",
    "/getKeyAndCredentials": "/getKeyAndCredentials?filename=photo.jpg",
  };
  for (const [name, path] of Object.entries(routes)) {
    const step = (what, act) => attempt(world, `${name}: ${what}`, act);
    const { key = `users/alice/${name.slice(1)}.txt` } = await requestKey(world, alice, path);
    const cos = app(world, alice, path);
    const at = { ...BUCKET, Key: key };
    await step("put", () => put(cos, key, "hello from home"));
    await step("head", () => cos.headObject(at).then(({ headers }) => headers["content-length"]));
    await step("get", () => fetched(world, cos, at).then(text));
    await step("list", () => cos.getBucket({ ...BUCKET, Prefix: key }).then(({ Contents }) => Contents.length));
    await step("multipart", () => upload(world, cos, at).then(nothing));
    await step("multipart content", () => fetched(world, cos, at).then(sameAsLarge));
    await step("delete", () => cos.deleteObject(at).then(nothing));
    await step("get a deleted object", () => cos.getObject(at).then(nothing));
    await step("head a deleted object", () => cos.headObject(at).then(nothing));
  }
}

/** Five objects, two on each page. */
async function pages(world, alice) {
  const cos = app(world, alice, FILES);
  const folder = "users/alice/list/";
  for (const name of ["1.txt", "2.txt", "3 +&.txt", "dir/4.txt", "dir/5.txt"]) {
    await put(cos, folder + name);
  }
  await attempt(world, "list in pages", async () => {
    const seen = [];
    let page = { NextMarker: "" };
    do {
      page = await cos.getBucket({ ...BUCKET, Prefix: folder, Delimiter: "/", MaxKeys: 2, Marker: page.NextMarker });
      const names = [...page.Contents.map(({ Key }) => Key), ...page.CommonPrefixes.map(({ Prefix }) => Prefix)];
      seen.push(names.map((name) => name.slice(folder.length)).join(" , "));
    } while (page.IsTruncated === "true");
    return seen.join(" | ");
  });
}

/** Alice's key in other homes. */
async function otherHomes(world, alice, bob) {
  const theirs = { ...BUCKET, Key: "users/bob/secret.txt" };
  const mine = { ...BUCKET, Key: "users/alice/mine.txt" };
  await put(app(world, bob, FILES), theirs.Key);
  const cos = app(world, alice, FILES);
  await put(cos, mine.Key);
  const list = (Prefix) => cos.getBucket({ ...BUCKET, Prefix });
  const steps = {
    "put in bob's home": () => put(cos, theirs.Key),
    "get from bob's home": () => cos.getObject(theirs),
    "head in bob's home": () => cos.headObject(theirs),
    "delete in bob's home": () => cos.deleteObject(theirs),
    "multipart in bob's home": () => cos.multipartInit(theirs),
    "upload of a large file to bob's home": () => upload(world, cos, theirs),
    "copy from bob's home": () => cos.putObjectCopy({ ...mine, CopySource: `${SOURCE}/${theirs.Key}` }),
    "copy into bob's home": () => cos.putObjectCopy({ ...theirs, CopySource: `${SOURCE}/${mine.Key}` }),
    "list bob's home": () => list("users/bob/"),
    "list everything": () => list(""),
    "list users/": () => list("users/"),
    "list users/alic": () => list("users/alic"),
    "list users/alice2/": () => list("users/alice2/"),
    "put in users/alice2/": () => put(cos, "users/alice2/x"),
  };
  for (const [name, act] of Object.entries(steps)) await attempt(world, name, () => act().then(nothing));
}

/** Forged keys, in a home where the genuine key would allow everything. */
async function forgeries(world, alice, bob) {
  const { credentials } = await requestKey(world, alice, FILES);
  const { credentials: bobs } = await requestKey(world, bob, FILES);
  const forged = { ...credentials, sessionToken: tampered(credentials.sessionToken) };
  await everyCall(world, "a tampered policy", clientWith(world, forged), "users/bob/");
  const swapped = { ...credentials, sessionToken: bobs.sessionToken };
  await everyCall(world, "the token of bob's key", clientWith(world, swapped), "users/bob/");
  const guessed = { ...credentials, tmpSecretKey: `${credentials.tmpSecretKey}x` };
  await everyCall(world, "a wrong secret", clientWith(world, guessed), "users/alice/");
  const unknown = { ...credentials, tmpSecretId: `${credentials.tmpSecretId}x` };
  await everyCall(world, "an unknown secret id", clientWith(world, unknown), "users/alice/");
}

async function everyCall(world, name, cos, home) {
  const at = { ...BUCKET, Key: `${home}x` };
  const calls = {
    put: () => put(cos, at.Key),
    get: () => cos.getObject(at),
    head: () => cos.headObject(at),
    list: () => cos.getBucket({ ...BUCKET, Prefix: home }),
    multipart: () => upload(world, cos, at),
    delete: () => cos.deleteObject(at),
  };
  for (const [call, act] of Object.entries(calls)) await attempt(world, `${name}: ${call}`, () => act().then(nothing));
}

/** What the shipped upload template refuses in the user's own home. */
async function bounds(world, alice) {
  const cos = app(world, alice, "/v1/credentials/capped");
  const large = world.blob(new Uint8Array(11 * MIB));
  await attempt(world, "put with a public ACL", () => put(cos, "users/alice/open.txt", "x", { ACL: "public-read" }));
  await attempt(world, "put of 11 MiB", () => put(cos, "users/alice/large.bin", large));
}

/** A client corrects its wrong clock by the server's. */
async function wrongClocks(world, alice) {
  const { credentials } = await requestKey(world, alice, FILES);
  for (const minutes of [20, -20]) {
    await attempt(world, `a clock ${minutes} minutes off`, async () => {
      const cos = clientWith(world, credentials, { SystemClockOffset: minutes * MINUTE });
      await put(cos, "users/alice/clock.txt");
      return Math.abs(cos.options.SystemClockOffset) < MINUTE ? "corrected" : cos.options.SystemClockOffset;
    });
  }
}

/** The key nearly expires in the middle of an upload, and the SDK requests another. */
async function refresh(world, alice) {
  let requests = 0;
  const keys = new Set();
  const another = async () => {
    requests += 1;
    if (requests > 1) await moveClock(world, NEARLY_EXPIRED);
    const key = await requestKey(world, alice, FILES);
    keys.add(key.credentials.tmpSecretId);
    return authorization(key);
  };
  const getAuthorization = (_, callback) => another().catch(() => ({})).then(callback);
  const cos = new world.COS({ ...world.pointing, getAuthorization });
  // The client's clock moves first; the sandbox's follows when the SDK requests a key.
  cos.on("before-send", ({ qs }) => {
    if (qs?.partNumber >= 6) cos.options.SystemClockOffset = NEARLY_EXPIRED;
  });
  const at = { ...BUCKET, Key: "users/alice/refreshed.bin" };
  await attempt(world, "a key refreshed during an upload", async () => {
    await upload(world, cos, at);
    const content = sameAsLarge(await fetched(world, cos, at));
    return `${requests > 1 ? "requested again" : "requested once"}, ${keys.size} keys, ${content}`;
  });
}

/** The last step, because the sandbox's clock never goes back. */
async function expiry(world, alice) {
  const { credentials } = await requestKey(world, alice, FILES);
  await moveClock(world, NEARLY_EXPIRED + 40 * MINUTE);
  const cos = clientWith(world, credentials, { SystemClockOffset: NEARLY_EXPIRED });
  await everyCall(world, "an expired key", cos, "users/alice/");
}

/** An app as in the SDK's documentation: it requests a key from the broker whenever the SDK wants one. */
export function app(world, token, path) {
  // Without a call of the callback, the SDK would wait for ever.
  const getAuthorization = (_, callback) => requestKey(world, token, path).then(authorization, () => ({})).then(callback);
  return new world.COS({ ...world.pointing, getAuthorization });
}

/** A client with this key, valid or not. */
function clientWith(world, { tmpSecretId, tmpSecretKey, sessionToken }, more) {
  const key = { SecretId: tmpSecretId, SecretKey: tmpSecretKey, SecurityToken: sessionToken };
  return new world.COS({ ...world.pointing, ...key, ...more });
}

function authorization({ credentials, startTime, expiredTime }) {
  const { tmpSecretId, tmpSecretKey, sessionToken } = credentials;
  const key = { TmpSecretId: tmpSecretId, TmpSecretKey: tmpSecretKey, SecurityToken: sessionToken };
  return { ...key, StartTime: startTime, ExpiredTime: expiredTime };
}

export async function tokenOf({ cloud }, sub) {
  return (await fetch(`${cloud}/token?sub=${sub}`)).text();
}

async function requestKey({ broker }, token, path) {
  const answer = await fetch(broker + path, { headers: { authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  const body = await answer.json();
  return body.data ?? body;
}

export async function moveClock({ cloud }, milliseconds) {
  const ahead = `${milliseconds / 1000}s`;
  const answer = await fetch(`${cloud}/clock`, { method: "PUT", body: JSON.stringify({ ahead }) });
  if (!answer.ok) throw new Error(`the clock: ${answer.status} ${await answer.text()}`);
}

function put(cos, Key, Body = "x", more = {}) {
  return cos.putObject({ ...BUCKET, Key, Body, ...more }).then(nothing);
}

export function upload(world, cos, at) {
  return cos.uploadFile({ ...at, ...world.file(large()), SliceSize: MIB });
}

async function fetched(world, cos, at) {
  const { Body } = await cos.getObject({ ...at, ...world.download });
  return new Uint8Array(Body);
}

/** Bytes that differ from part to part. */
function large() {
  const words = new Uint32Array(LARGE / 4);
  for (let index = 0; index < words.length; index += 1) words[index] = Math.imul(index, 2654435761);
  return new Uint8Array(words.buffer);
}

export function sameAsLarge(bytes) {
  const expected = large();
  const same = bytes.length === expected.length && bytes.every((byte, index) => byte === expected[index]);
  return same ? "the same bytes" : `${bytes.length} other bytes`;
}

const text = (bytes) => new TextDecoder().decode(bytes);
const nothing = () => undefined;

/** The session token with its policy changed to Bob's home. */
function tampered(token) {
  const [payload, tag] = token.split(".");
  const session = atob(payload.replaceAll("-", "+").replaceAll("_", "/"));
  if (!session.includes("users/alice/")) throw new Error("the token has no policy to tamper with");
  const rewritten = btoa(session.replaceAll("users/alice/", "users/bob/"));
  return `${rewritten.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}.${tag}`;
}

/** Runs one step and prints its result. */
export async function attempt({ say }, step, act) {
  try {
    const value = await act();
    await say({ step, ok: true, ...(value === undefined ? {} : { value: String(value) }) });
  } catch (error) {
    // The SDK for mini-programs gives what COS answered, in a property; of an upload, in one of that.
    const answered = error.error?.error ?? error.error;
    const { statusCode: status = error.error?.statusCode } = error;
    const { code = answered?.Code, message = answered?.Message } = error;
    await say({ step, ok: false, status, code, message: String(message) });
  }
}
