// The tests of a checkout of cos-js-sdk-v5 in headless Chromium: node browser_suite.mjs CHECKOUT CLOUD SECRET_ID
// SECRET_KEY LEFT_OUT CHROMIUM. One JSON line per test.

import { createReadStream, readFileSync } from "node:fs";
import { join } from "node:path";

import { launch } from "../../sdks/programs/chromium.mjs";
import { startKeyServer } from "./keys.mjs";
import { naming } from "./naming.mjs";

const [checkout, cloud, secretId, secretKey, leftOutFile, executablePath] = process.argv.slice(2);
const TYPES = { html: "text/html", js: "text/javascript", css: "text/css" };

/** Sends a file of the checkout. */
function file({ url }, response) {
  const path = url.split("?")[0];
  response.setHeader("content-type", TYPES[path.split(".").pop()] ?? "text/plain");
  createReadStream(join(checkout, path))
    .on("error", () => response.writeHead(404).end())
    .pipe(response);
}

/** Runs in the page before the suite, and reports each test. */
function prepare(nameOf) {
  const TEST_TIMEOUT = 60_000;
  QUnit.config.testTimeout = TEST_TIMEOUT;
  const { test } = QUnit;
  QUnit.test = (title, run) => {
    const { name, leftOut } = nameOf(title);
    if (leftOut) report({ test: name, left_out: true });
    else test(name, run);
  };
  QUnit.on("testEnd", ({ name, status, errors }) => {
    const why = errors.map(({ message }) => message).join("; ");
    report({ test: name, ok: status === "passed", ...(why && { why }) });
  });
  QUnit.on("runEnd", () => report(null));
}

const pages = await startKeyServer({ cloud, secretId, secretKey, folder: "" }, file);
const browser = await launch(
  executablePath,
  `--host-resolver-rules=MAP *.myqcloud.com ${new URL(cloud).host}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
);
try {
  const page = await browser.newPage();
  const ended = new Promise((end) =>
    page.exposeFunction("report", (line) => (line ? console.log(JSON.stringify(line)) : end())),
  );
  await page.route("**/qunit-2.4.0.js", async (route) => {
    const response = await route.fetch();
    const prepared = `(${prepare})((${naming})(${readFileSync(leftOutFile, "utf8")}));`;
    await route.fulfill({ response, body: `${await response.text()}\n${prepared}` });
  });
  await page.goto(`${pages}/test/index.html`);
  await ended;
} finally {
  await browser.close();
}
process.exit();
