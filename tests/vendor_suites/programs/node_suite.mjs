// The tests of a checkout of cos-nodejs-sdk-v5: node node_suite.mjs CHECKOUT CLOUD SECRET_ID SECRET_KEY LEFT_OUT. One
// JSON line per test. The suite connects to COS's real host names with HTTPS; here it reaches the sandbox, with plain
// HTTP.

import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import { join } from "node:path";

import { startKeyServer } from "./keys.mjs";
import { naming } from "./naming.mjs";

const [checkout, cloud, secretId, secretKey, leftOutFile] = process.argv.slice(2);
const { hostname, port } = new URL(cloud);
const COS_DOMAINS = /\.(myqcloud\.com|tencentcos\.cn)$/;
const TEST_TIMEOUT = 60_000;

const sendPlain = http.request;

/** Takes the place of a look-up of a host's name. */
function refuse(host, _, done) {
  done(Object.assign(new Error(`${host} is no host of COS`), { code: "ECONNREFUSED" }));
}

/**
 * Returns the request function of a module, which sends what is for COS to the sandbox, with the real name in `Host`,
 * and looks up no other name.
 */
function redirected({ request }) {
  return (options, ...more) => {
    const host = options.hostname ?? options.host;
    if (!COS_DOMAINS.test(host)) return request({ ...options, lookup: refuse }, ...more);
    const headers = { host, ...options.headers };
    const sandbox = { protocol: "http:", host: hostname, hostname, port, agent: http.globalAgent };
    return sendPlain({ ...options, ...sandbox, headers }, ...more);
  };
}
[http.request, https.request] = [redirected(http), redirected(https)];

// The suite writes its progress to standard output.
const print = console.log;
console.log = console.warn = console.error = () => {};

const nameOf = naming(JSON.parse(readFileSync(leftOutFile, "utf8")));

/** Takes the tests that are left out from a suite and those in it, and gives the others their names. */
function leaveOut(suite) {
  suite.tests = suite.tests.filter((test) => {
    const { name, leftOut } = nameOf(test.fullTitle());
    test.name = name;
    if (leftOut) print(JSON.stringify({ test: name, left_out: true }));
    return !leftOut;
  });
  suite.suites.forEach(leaveOut);
}

function report(test, error) {
  const why = error && { why: String(error.message ?? error) };
  print(JSON.stringify({ test: test.name ?? test.fullTitle(), ok: !error, ...why }));
}

Object.assign(process.env, {
  SecretId: secretId,
  SecretKey: secretKey,
  Bucket: "examplebucket-1250000000",
  Region: "ap-guangzhou",
  Uin: "100000000001",
  nodejssdkStsUrl: await startKeyServer({ cloud, secretId, secretKey, folder: "nodejs-sdk/test/" }),
});
process.chdir(checkout);
const Mocha = createRequire(join(checkout, "package.json"))("mocha");
const mocha = new Mocha({ reporter: class {}, timeout: TEST_TIMEOUT });
mocha.addFile(join(checkout, "test", "test.js"));
mocha.loadFiles();
mocha.files = [];
leaveOut(mocha.suite);
mocha
  .run(() => process.exit())
  .on("pass", (test) => report(test))
  .on("fail", report);
