// The sandbox's page: sign in, get a key, upload with Tencent's own SDK, and see what is refused.

import { BrokerError, SignInAgain, createBroker } from '/cosbroker.js';

const { COS } = globalThis;
const MiB = 1024 * 1024;
const $ = (id) => document.getElementById(id);

let broker;
let session;
let statusTimer;

// ---- requests

/** Fetches a URL. Throws an error with a message for the user. */
async function call(url, headers, service, refused = throwRefusal) {
  const response = await fetch(url, { headers }).catch(() => {
    throw new Error(`${service} does not answer. Check that the sandbox is running, and that this page's ` +
      `address (${location.origin}) is one of the broker's allowed origins (--allow-origin). A page is not told why ` +
      `it may not call; this tells you which origin, method or header is missing: ${preflight(url)}`);
  });
  return response.ok ? response : refused(response, service);
}

async function throwRefusal(response, service) {
  const body = await response.text();
  const problem = response.headers.get('content-type')?.includes('json') ? JSON.parse(body) : { detail: body };
  throw new Error([`${service} refused the request (${response.status})`, problem.title, problem.detail].filter(Boolean).join(': '));
}

/** The question that the browser asks before this page may send a token, for a shell. */
const preflight = (url) => `curl -X OPTIONS -H 'Origin: ${location.origin}' -H 'Access-Control-Request-Method: GET' ` +
  `-H 'Access-Control-Request-Headers: authorization' '${new URL(url, location)}'`;

async function tokenFor(user, claims) {
  const query = new URLSearchParams({ sub: user, ...(claims && { claims }) });
  return (await call(`/token?${query}`, {}, 'The login')).text();
}

const keyUrl = ({ template }) => `${broker}/v1/credentials/${encodeURIComponent(template)}`;

/** Returns the broker's client for a user. Its requests are counted, and what they say of the cache is noted. */
function clientOf(mine) {
  const request = async ({ url, header, success, fail }) => {
    try {
      const response = await call(url, header, 'The broker', (refused) => refused);
      mine.cacheStatus = response.headers.get('cache-status') ?? '';
      mine.requests += 1;
      mine.hits += /; hit\b/.test(mine.cacheStatus);
      success({
        statusCode: response.status,
        header: { 'retry-after': response.headers.get('retry-after') },
        data: await response.text(),
      });
    } catch ({ message }) {
      fail({ errMsg: message });
    }
  };
  return createBroker({ url: broker, template: mine.template, token: () => mine.token, request });
}

/** Requests a key from the broker. */
async function requestKey(mine) {
  mine.client.forget();
  take(mine, await mine.client.key().catch((error) => Promise.reject(new Error(describe(error)))));
}

/** Runs work of the SDK with a key that has not expired. */
function withKey(mine, work) {
  return mine.client.run((key) => {
    if (key !== mine.key) take(mine, key);
    return work();
  });
}

function take(mine, key) {
  mine.key = key;
  mine.clockOffset = key.serverTime - Date.now() / 1000;
  if (mine === session) showKey();
}

async function explain(mine, action, key, request = {}) {
  const query = new URLSearchParams({ action: `name/cos:${action}`, key, ...request });
  const url = `${broker}/v1/explain/${encodeURIComponent(mine.template)}?${query}`;
  return (await call(url, { Authorization: `Bearer ${mine.token}` }, 'The broker')).json();
}

/** Returns Tencent's SDK, which gets its keys from the broker's client. */
function sdkOf(mine) {
  return new COS({
    // The bucket is in the path of this page's own origin: not every browser resolves names under `localhost`.
    Domain: `${location.host}/{Bucket}`,
    Protocol: location.protocol,
    SliceSize: 5 * MiB,
    ChunkSize: 5 * MiB,
    ProgressInterval: 200,
    getAuthorization: mine.client.getAuthorization,
  });
}

/** The bucket and region of a request to COS. */
const at = (mine, rest) => ({ Bucket: mine.key.bucket, Region: mine.key.region, ...rest });

/** Describes an error of the broker's client or of the SDK. */
function describe(error) {
  if (error instanceof BrokerError) {
    const again = error instanceof SignInAgain ? ': sign in again' : error.seconds ? `: try again in ${error.seconds} s` : '';
    return error.status ? `The broker refused the request (${error.status}): ${error.message}${again}` : error.message;
  }
  if (!error.statusCode) return 'The cloud does not answer. Check that the sandbox is running, then try again.';
  const code = /\D/.test(error.code ?? '') && error.code !== 'Error' ? ` ${error.code}` : '';
  return `COS says ${error.statusCode}${code}${error.RequestId ? `, request ${error.RequestId}` : ''}`;
}

/** Describes an error of the SDK. For a refusal, adds the broker's explanation. */
async function describeWithReason(error, mine, action, key, request) {
  const why = error.statusCode === 403 && (await explain(mine, action, key, request).catch(() => null));
  return `${describe(error)}${why && !why.allowed ? `: ${why.reason}` : ''}.`;
}

// ---- display

const size = (bytes) => {
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  const unit = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1);
  const value = bytes / 1024 ** unit;
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
};

function showStatus(text) {
  clearTimeout(statusTimer);
  $('status').textContent = text;
  statusTimer = setTimeout(showStatus, 6000, '');
}

function showAlert(text = '') {
  showStatus('');
  $('alert').textContent = text;
  $('alert').hidden = !text;
}

/** Appends a copy of a template's row, and returns it with its parts found by selectors. */
function appendRow(template, list, ...selectors) {
  const item = $(template).content.firstElementChild.cloneNode(true);
  $(list).append(item);
  return [item, ...selectors.map((selector) => item.querySelector(selector))];
}

/** Runs a button's action, one at a time, and shows its error. */
async function runAction(button, work) {
  button.disabled = true;
  showAlert();
  try {
    await work();
  } catch (error) {
    showAlert(error.message);
  } finally {
    button.disabled = false;
  }
}

function showKey() {
  const { key, cacheStatus, requests, hits, token } = session;
  const hit = /; hit\b/.test(cacheStatus);
  $('cache').textContent = hit ? 'hit' : /stale/.test(cacheStatus) ? 'stale' : 'miss';
  $('cache').className = `badge ${hit ? 'good' : ''}`;
  $('folder').textContent = key.prefix;
  $('bucket').textContent = key.bucket;
  $('region').textContent = key.region;
  $('secret-id').textContent = key.credentials.tmpSecretId;
  $('cache-status').textContent = cacheStatus;
  $('requests').textContent = `${requests} ${requests === 1 ? 'request' : 'requests'}; ${hits} answered from the cache, without STS.`;
  $('time-left').max = key.expiredTime - key.startTime;
  $('curl').textContent = `curl -i -H 'Authorization: Bearer ${token}' '${keyUrl(session)}'`;
  $('key').hidden = false;
  countDown();
}

function countDown() {
  if (!session?.key) return;
  const left = Math.max(0, Math.floor(session.key.expiredTime - session.clockOffset - Date.now() / 1000));
  const two = (number) => String(number).padStart(2, '0');
  $('left').textContent = left ? `${Math.floor(left / 60)}:${two(left % 60)}` : 'expired; request again';
  $('time-left').value = left;
}

async function showList() {
  const mine = session;
  const { prefix } = mine.key;
  const listed = withKey(mine, () => mine.cos.getBucket(at(mine, { Prefix: prefix, MaxKeys: 1000 })));
  const [answer, note] = await listed.then(
    (answer) => [answer, answer.IsTruncated === 'true' ? 'These are the first 1000 by name.' : ''],
    async (error) => [null, `This key cannot list its folder. ${await describeWithReason(error, mine, 'GetBucket', prefix)}`],
  );
  if (mine !== session) return;
  mine.lists = Boolean(answer);
  const files = answer?.Contents.sort((a, b) => b.LastModified.localeCompare(a.LastModified)) ?? [];
  $('list').replaceChildren();
  $('list-note').textContent = note || (files.length ? '' : 'Nothing here yet.');
  for (const file of files) showFile(mine, file);
}

function showFile(mine, { Key, Size, LastModified }) {
  const [, name, facts, download, remove] =
    appendRow('file', 'list', '.name', '.hint', 'button', '.danger');
  name.textContent = name.title = Key.slice(mine.key.prefix.length);
  facts.textContent = `${size(Number(Size))} · ${new Date(LastModified).toLocaleTimeString([], { timeStyle: 'short' })}`;
  download.ariaLabel = `Download ${name.textContent}`;
  remove.ariaLabel = `Delete ${name.textContent}`;
  download.onclick = () => runAction(download, () => save(mine, Key));
  remove.onclick = () => runAction(remove, async () => {
    await withKey(mine, () => mine.cos.deleteObject(at(mine, { Key }))).catch(async (error) => {
      throw new Error(await describeWithReason(error, mine, 'DeleteObject', Key));
    });
    showStatus(`${name.textContent} is deleted.`);
    await showList();
  });
}

/** Saves a file with the browser. It is never opened, because it would run as part of this page. */
async function save(mine, Key) {
  // If COS refused the link, the browser would save the error as the file.
  await withKey(mine, () => mine.cos.headObject(at(mine, { Key }))).catch(async (error) => {
    throw new Error(await describeWithReason(error, mine, 'GetObject', Key));
  });
  const link = document.createElement('a');
  link.download = Key.split('/').pop();
  const Query = { 'response-content-disposition': 'attachment' };
  mine.cos.getObjectUrl(at(mine, { Key, Query }), (_, { Url }) => {
    link.href = Url;
    link.click();
  });
}

// ---- uploads

function upload(mine, file) {
  const Key = mine.key.prefix + file.name;
  const [item, name, button, bar, facts] =
    appendRow('transfer', 'transfers', '.name', 'button', 'progress', '.hint');
  name.textContent = name.title = file.name;
  bar.ariaLabel = `Upload of ${file.name}`;
  let task;
  const drop = () => {
    mine.transfers.delete(cancel);
    item.remove();
  };
  const cancel = () => {
    mine.cos.cancelTask(task);
    // The SDK keeps the parts that are already uploaded; COS would charge for them.
    if (file.size > 5 * MiB) mine.cos.abortUploadTask(at(mine, { Key, Level: 'file' }), () => {});
    drop();
    showStatus(`The upload of ${file.name} is cancelled.`);
  };
  mine.transfers.add(cancel);
  button.onclick = cancel;
  const end = (message, className) => {
    mine.transfers.delete(cancel);
    bar.remove();
    button.textContent = 'Dismiss';
    button.onclick = drop;
    facts.className = className;
    facts.textContent = message;
  };
  const done = async (error) => {
    if (error) return end(await describeWithReason(error, mine, 'PutObject', Key, about(file)), 'bad');
    showStatus(`${file.name} is uploaded: ${size(file.size)}.`);
    if (!mine.lists) return end(`uploaded, ${size(file.size)}`, 'hint');
    drop();
    return showList();
  };
  const run = () => mine.cos.uploadFile(at(mine, {
    Key,
    Body: file,
    onTaskReady: (id) => { task = id; },
    onProgress: ({ loaded, percent, speed }) => {
      bar.value = percent;
      facts.textContent = `${size(loaded)} of ${size(file.size)}, ${size(speed)}/s`;
    },
  }));
  withKey(mine, run).then(() => done(), done);
}

/** The properties of a file that a policy can check. */
const about = ({ size: bytes, type }) => ({ size: bytes, ...(type && { content_type: type }) });

function accept(files) {
  showAlert();
  for (const file of files) upload(session, file);
}

// ---- another user's folder

async function trespass() {
  const mine = session;
  const other = mine.user === 'bob' ? 'alice' : 'bob';
  const theirs = { ...mine, token: await tokenFor(other, mine.claims) };
  const { prefix } = await explain(theirs, 'GetObject', 'any');
  if (prefix === mine.key.prefix) throw new Error(`${other} shares ${prefix} with you; choose a template in which each user has their own folder.`);
  const Key = `${prefix}uninvited.txt`;
  const Body = new Blob([`${mine.user} was here\n`], { type: 'text/plain' });
  $('attempts').replaceChildren();
  await attempt(mine, `Upload ${Key}`, 'PutObject', Key, about(Body), () => mine.cos.putObject(at(mine, { Key, Body })));
  await attempt(mine, `Read ${Key}`, 'GetObject', Key, {}, () => mine.cos.getObject(at(mine, { Key })));
  await attempt(mine, `List ${prefix}`, 'GetBucket', prefix, {}, () => mine.cos.getBucket(at(mine, { Prefix: prefix })));
}

async function attempt(mine, label, action, key, request, run) {
  const error = await withKey(mine, run).then(() => null, (error) => error);
  const why = await explain(mine, action, key, request);
  if (mine !== session) return;
  const [, badge, name, outcome, reason] = appendRow('attempt', 'attempts', '.badge', '.name', 'p', '.hint');
  const refused = error?.statusCode === 403;
  badge.textContent = refused ? 'refused' : error ? 'failed' : 'allowed';
  badge.className = `badge ${refused ? 'good' : 'bad'}`;
  name.textContent = label;
  outcome.textContent = error ? `${describe(error)}.` : 'COS allowed it. This must never happen: please report it.';
  reason.textContent = `${why.allowed ? 'The broker says the policy allows it' : 'Why'}: ${why.reason}.`;
}

// ---- sign in

async function signIn() {
  const { user, template, claims } = Object.fromEntries(new FormData($('sign-in')));
  const name = user.trim();
  const token = await tokenFor(name, claims.trim());
  const mine = { user: name, template, claims: claims.trim(), token, requests: 0, hits: 0, transfers: new Set() };
  mine.client = clientOf(mine);
  await requestKey(mine);
  session?.transfers.forEach((cancel) => cancel());
  session = mine;
  for (const list of ['transfers', 'list', 'attempts']) $(list).replaceChildren();
  showKey();
  $('sign-in-title').textContent = `Signed in as ${name}, ${template}`;
  $('files-title').textContent = `Files of ${name}`;
  $('sign-out').hidden = false;
  $('intro').hidden = true;
  $('files').hidden = $('others').hidden = false;
  showStatus(`${name} has a key.`);
  if (!COS) return;
  mine.cos = sdkOf(mine);
  await showList();
}

function wire() {
  const submit = $('sign-in').querySelector('button');
  $('sign-in').onsubmit = (event) => {
    event.preventDefault();
    runAction(submit, signIn);
  };
  $('sign-out').onclick = () => location.reload(); // all state is in this page's memory
  $('again').onclick = () => runAction($('again'), () => requestKey(session));
  $('copy').onclick = () => runAction($('copy'), async () => {
    await navigator.clipboard.writeText($('curl').textContent);
    showStatus('The curl command is copied. It requests this key from the broker.');
  });
  $('trespass').onclick = () => runAction($('trespass'), trespass);
  $('pick').onchange = ({ target }) => {
    accept(target.files);
    target.value = ''; // so that the same file can be chosen again
  };
  for (const type of ['dragover', 'dragleave', 'drop']) {
    document.addEventListener(type, (event) => {
      event.preventDefault(); // a file dropped outside of the field would replace the page
      $('drop').classList.toggle('over', type === 'dragover');
      if (type === 'drop' && session?.cos) accept(event.dataTransfer.files);
    });
  }
  setInterval(countDown, 1000);
}

async function start() {
  const facts = await (await call('/demo.json', {}, 'The sandbox')).json();
  broker = facts.broker;
  $('sign-in').template.append(...facts.templates.map((name) => new Option(name)));
  if (facts.templates.includes('files')) $('sign-in').template.value = 'files';
  if (!COS) {
    const note = await (await fetch('/cos-js-sdk-v5.js')).text();
    $('no-sdk').textContent = `Keys work, uploads do not. ${note}`;
    $('no-sdk').hidden = false;
    $('pick').disabled = $('trespass').disabled = true;
  }
}

wire();
start().catch((error) => showAlert(error.message));
