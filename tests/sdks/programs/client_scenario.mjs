// What an app does with clients/js and Tencent's SDK, step by step. Runs in a page and in the mini-program runtime, and
// asserts nothing: the expected results are in tests/sdks/client.rs.
//
// `world` is the environment: { client, COS, pointing, broker, cloud, say, request, requests(), closed }. `client` is the
// module, `request` what the client sends with, `requests` counts what was sent to the broker for keys, and nothing
// listens at `closed`.

import { BUCKET, moveClock, sameAsLarge, tokenOf, upload } from "./scenario.mjs";

const MINUTE = 60_000;

/** How far the sandbox's clock is ahead. It never goes back. */
let ahead = 0;
/** How far this device's clock is off. */
let off = 0;
const realNow = Date.now;
Date.now = () => realNow() + off;

export async function clientScenario(world) {
  const step = async (name, act) => world.say({ step: name, seen: await act().catch((error) => `failed: ${described(error)}`) });
  await step("100 parallel uploads", () => parallelUploads(world));
  await step("the key expires during an upload", () => expiryDuringUpload(world));
  await step("a clock ten minutes ahead", () => wrongClock(world, 10));
  await step("a clock ten minutes behind", () => wrongClock(world, -10));
  await step("another user after forget", () => anotherUser(world));
  await step("the broker cannot be reached when the key should be renewed", () => offline(world));
  await step("an expired login", () => fails(world, { token: "no.such.token" }));
  await step("an expired login during an upload", () => expiredDuringUpload(world));
  await step("a template that does not exist", () => fails(world, { template: "nothing" }));
  await step("nothing listens", () => fails(world, { url: world.closed }));
  await step("something else answers", () => fails(world, { url: `${world.cloud}/jwks.json?` }));
  await step("STS fails", () => stsFails(world));
}

/** Returns an app: the client, the SDK that gets its keys from it, and how many requests it sent. */
async function app(world, { user = "alice", token, template = "files", url = world.broker, request = world.request } = {}) {
  const state = { token: token ?? (await tokenOf(world, user)) };
  const broker = world.client.createBroker({ url, template, token: () => state.token, ...(request && { request }) });
  const cos = new world.COS({ ...world.pointing, getAuthorization: broker.getAuthorization });
  const before = world.requests();
  return { state, broker, cos, requests: () => world.requests() - before };
}

const put = (cos, { bucket, region, prefix }, name) =>
  cos.putObject({ Bucket: bucket, Region: region, Key: prefix + name, Body: "x" });

async function parallelUploads(world) {
  const { broker, cos, requests } = await app(world);
  const uploads = [...Array(100).keys()].map((n) => broker.run((key) => put(cos, key, `parallel-${n}.txt`)));
  const answers = await Promise.all(uploads);
  await broker.run((key) => put(cos, key, "later.txt"));
  return `${answers.filter(({ statusCode }) => statusCode === 200).length} uploads, ${requests()} request`;
}

/** The sandbox's clock passes the end of the key while parts are sent. This device's clock does not tell the SDK. */
async function expiryDuringUpload(world) {
  const { broker, cos, requests } = await app(world);
  let moved;
  cos.on("before-send", ({ qs }) => {
    if (qs?.partNumber >= 6) moved ??= advance(world, 35);
  });
  const at = { ...BUCKET, Key: "users/alice/expired.bin" };
  await Promise.all([
    broker.run(() => upload(world, cos, at)),
    broker.run(async (key) => {
      while (!moved) await pause(20);
      await moved;
      await Promise.all([1, 2, 3].map((n) => broker.run(() => put(cos, key, `expired-${n}.txt`))));
    }),
  ]);
  const sent = requests();
  off += 35 * MINUTE;
  const { Body } = await cos.getObject({ ...at, ...world.download });
  return `${sent} requests, ${sameAsLarge(new Uint8Array(Body))}`;
}

/** A key is renewed when it is due, whatever this device's clock shows. */
async function wrongClock(world, minutes) {
  off += minutes * MINUTE;
  const { broker, cos, requests } = await app(world, { user: `clock${Math.abs(minutes)}${minutes < 0 ? "behind" : "ahead"}` });
  const counts = [];
  const note = async () => {
    await broker.run((key) => put(cos, key, "clock.txt"));
    counts.push(requests());
  };
  await note();
  await pass(world, 15);
  await note();
  await pass(world, 12);
  await note();
  off -= minutes * MINUTE;
  return `${counts.join(", ")} requests`;
}

async function anotherUser(world) {
  const { state, broker } = await app(world);
  const { prefix } = await broker.key();
  broker.forget();
  state.token = await tokenOf(world, "bob");
  return `${prefix} ${(await broker.key()).prefix}`;
}

async function offline(world) {
  let isOffline = false;
  let refused = 0;
  const request = (sent) => {
    if (!isOffline) return (world.request ?? world.viaFetch)(sent);
    refused += 1;
    sent.fail({ errMsg: "request:fail" });
  };
  const { broker } = await app(world, { user: "carol", request });
  const first = await broker.key();
  await pass(world, 27);
  isOffline = true;
  const [second, third] = [await broker.key(), await broker.key()];
  const attempts = refused;
  await pass(world, 3);
  const failure = await broker.key().catch((error) => error.name);
  return `${second === first && third === first ? "the same key" : "another key"}, ${attempts} attempt, then ${failure}`;
}

async function fails(world, options) {
  const { broker, cos } = await app(world, options);
  return outcome(broker.run((key) => put(cos, key, "never.txt")), world);
}

/** The SDK itself requests the key that is refused. */
async function expiredDuringUpload(world) {
  const { state, broker, cos } = await app(world);
  const work = (key) => {
    broker.forget();
    state.token = "no.such.token";
    return put(cos, key, "never.txt");
  };
  return outcome(broker.run(work), world);
}

async function stsFails(world) {
  await fetch(`${world.cloud}/faults`, { method: "POST", body: JSON.stringify({ on: "sts", fault: "error" }) });
  const { broker, requests } = await app(world, { user: "dave" });
  const first = await outcome(broker.key(), world);
  const second = await outcome(broker.key(), world);
  return `${first}; ${second}; ${requests()} request`;
}

async function outcome(promise, { client }) {
  const error = await promise.then(() => undefined, (error) => error);
  if (!error) return "no error";
  const isTyped = error instanceof client.BrokerError && error instanceof client[error.name];
  const facts = [error.name, error.status, error.problem, error.seconds > 0 && "with seconds", error.requestId && "with a request id"];
  return `${isTyped ? "" : "untyped "}${facts.filter(Boolean).join(" ")}`;
}

/** Lets time pass for this device and the sandbox. */
async function pass(world, minutes) {
  off += minutes * MINUTE;
  await advance(world, minutes);
}

async function advance(world, minutes) {
  ahead += minutes * MINUTE;
  await moveClock(world, ahead);
}

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const described = (error) => `${error.name} ${error.message} ${JSON.stringify(error.error ?? {})}`;
