// A client of cosbroker for web pages, mini programs and uni-app. README.md says how to use it.

/** The base of every error of this client. */
export class BrokerError extends Error {
  constructor(message, facts) {
    super(message);
    Object.assign(this, facts);
  }
}

/** Returns a type of errors with a name that no minifier changes. */
const errorType = (name) => class extends BrokerError {
  get name() { return name; }
};

/** The login has expired or is not accepted: sign in again. */
export const SignInAgain = errorType('SignInAgain');

/** No key now: retry after `seconds`. */
export const RetryLater = errorType('RetryLater');

/** The same request fails again: tell the user. */
export const Refused = errorType('Refused');

/** The browser or the mini program does not let this app call the broker (CORS, server domains). */
export const CallerNotAllowed = errorType('CallerNotAllowed');

/** The broker did not answer: there is no network, or something else answered in its place. */
export const Unreachable = errorType('Unreachable');

const TIMEOUT_MS = 15000;
/** The wait after an answer that names none, and between attempts to renew a key that still works. */
const RETRY_SECONDS = 5;
/** A key with less time left is not used; Tencent's SDKs request another one then, too. */
const MIN_REMAINING_SECONDS = 60;
/** Statuses of the broker, or of a proxy in front of it, that pass. */
const TEMPORARY_STATUSES = [408, 429, 502, 503, 504];

/** Sends a request with `fetch`, and takes the parameters of `wx.request`. */
async function fetchRequest({ url, header, timeout, success, fail }) {
  try {
    const signal = AbortSignal.timeout && AbortSignal.timeout(timeout);
    const response = await fetch(url, { headers: header, signal });
    success({
      statusCode: response.status,
      header: { 'retry-after': response.headers.get('retry-after') },
      data: await response.text(),
    });
  } catch (error) {
    // A script is not told that CORS refused its request. If one without CORS is answered, it was that.
    const answers = await fetch(url.replace(/\/v1\/.*/, '/healthz'), { mode: 'no-cors' }).then(() => 1, () => 0);
    fail({ errMsg: `${error.message}${answers ? ': CORS refuses it' : ''}` });
  }
}

/** Returns a client for the keys of one template. */
export function createBroker({ url, template, token, request = fetchRequest }) {
  const address = `${url.replace(/\/$/, '')}/v1/credentials${template ? `/${encodeURIComponent(template)}` : ''}`;
  /** By how many milliseconds the broker's clock is ahead of this device's. */
  let clockOffset = 0;
  /** The latest key, and what Tencent's SDKs were given for it. */
  let current;
  let given;
  /** The request that is under way. */
  let pending;
  /** Why the latest request failed. */
  let failure;
  /** When the next request may be made, in seconds of the broker's clock. */
  let nextRequest = 0;

  const now = () => (Date.now() + clockOffset) / 1000;
  const isUsable = () => current && current.expiredTime - now() > MIN_REMAINING_SECONDS;

  /** Returns the key, from memory until its `refreshAt`. All who wait share one request. */
  async function key() {
    const wait = nextRequest - now();
    if (wait > 0 && isUsable()) return current;
    if (wait > 0 && failure instanceof RetryLater) {
      throw new RetryLater(failure.message, { ...failure, seconds: Math.ceil(wait) });
    }
    if (!pending) {
      const mine = fetchKey().then(
        (fresh) => (pending === mine ? keep(fresh) : fresh),
        (error) => (pending === mine ? keepOld(error) : Promise.reject(error)),
      );
      pending = mine;
    }
    return pending;
  }

  async function fetchKey() {
    const header = { Authorization: `Bearer ${await token()}` };
    const { statusCode, header: headers, data } = await new Promise((success, fail) => {
      request({ url: address, header, timeout: TIMEOUT_MS, success, fail });
    }).catch(({ errMsg }) => {
      const Type = /CORS|domain list/.test(errMsg) ? CallerNotAllowed : Unreachable;
      throw new Type(`${address}: ${errMsg}`);
    });
    const body = parsed(data);
    if (statusCode === 200 && body.credentials) return body;
    throw errorOf(statusCode, headers, body);
  }

  function keep(fresh) {
    clockOffset = fresh.serverTime * 1000 - Date.now();
    const { credentials, startTime, expiredTime, refreshAt } = fresh;
    given = {
      TmpSecretId: credentials.tmpSecretId,
      TmpSecretKey: credentials.tmpSecretKey,
      SecurityToken: credentials.sessionToken,
      StartTime: startTime,
      ExpiredTime: expiredTime,
    };
    nextRequest = Math.max(refreshAt, now() + RETRY_SECONDS);
    pending = failure = undefined;
    return (current = fresh);
  }

  /** Keeps a key that still works, unless it is the user who is refused. */
  function keepOld(error) {
    pending = undefined;
    failure = error;
    nextRequest = now() + (error.seconds || RETRY_SECONDS);
    if (isUsable() && !(error instanceof SignInAgain || error instanceof Refused)) return current;
    if (!error.seconds) nextRequest = 0;
    throw error;
  }

  /** Forgets the key: call it when the user signs out. */
  function forget() {
    // The SDKs keep the object that they were given, and drop it when it has expired.
    if (given) given.ExpiredTime = 0;
    current = given = pending = undefined;
    if (!(failure instanceof RetryLater)) nextRequest = 0;
  }

  /** For the option `getAuthorization` of Tencent's SDKs. */
  function getAuthorization(_, callback) {
    key().then(
      () => {
        if (this && this.options) this.options.SystemClockOffset = clockOffset;
        callback(given || {});
      },
      () => callback({}), // fails the upload instead of leaving it waiting; `run` throws the cause
    );
  }

  /**
   * Runs work that needs the key, such as an upload with an SDK. If COS says that the key has expired, runs it once more
   * with another key. If the SDK got no key, throws the reason.
   */
  async function run(work) {
    for (let isSecond = false; ; isSecond = true) {
      const used = await key();
      try {
        return await work(used);
      } catch (error) {
        if (isSecond || !/ExpiredToken|has expired/.test(textOf(error))) throw causeOf(error);
        if (current === used) forget();
      }
    }
  }

  const causeOf = (error) => (failure && /getAuthorization/.test(textOf(error)) ? failure : error);

  return { key, run, forget, getAuthorization };
}

/** Returns the JSON of an answer; an object without fields if it is something else. */
function parsed(data) {
  try {
    return (typeof data === 'string' ? JSON.parse(data) : data) || {};
  } catch {
    return {};
  }
}

function errorOf(status, headers, { detail, type, requestId }) {
  const facts = { status, problem: type && type.split(':').pop(), requestId };
  const message = detail || `something else than the broker answered with status ${status}`;
  if (status === 401) return new SignInAgain(message, facts);
  if (TEMPORARY_STATUSES.includes(status)) {
    const name = Object.keys(headers).find((name) => name.toLowerCase() === 'retry-after');
    return new RetryLater(message, { ...facts, seconds: Number(headers[name]) || RETRY_SECONDS });
  }
  // Without a type, it is another server, such as that of a network which wants a login.
  return new (type ? Refused : Unreachable)(message, facts);
}

/** Returns what an SDK's error says. The SDKs put COS's answer into `error`, once or twice. */
function textOf(error) {
  const { message, code, Code, Message, error: inner } = error || {};
  return [message, code, Code, Message, inner && inner !== error ? textOf(inner) : ''].join(' ');
}
