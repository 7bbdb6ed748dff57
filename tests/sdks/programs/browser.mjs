// cos-js-sdk-v5 in headless Chromium against the sandbox: node browser.mjs BROKER CLOUD CHROMIUM. One JSON line per step.

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

import { launch } from "./chromium.mjs";

const require = createRequire(import.meta.url);
const [broker, cloud, executablePath] = process.argv.slice(2);
const { host, port } = new URL(cloud);

const browser = await launch(
  executablePath,
  `--host-resolver-rules=MAP *.myqcloud.com ${host}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE *.localhost`,
);
try {
  const page = await browser.newPage({ bypassCSP: true });
  await page.route(`${cloud}/scenario.mjs`, (route) =>
    route.fulfill({ contentType: "text/javascript", path: fileURLToPath(new URL("scenario.mjs", import.meta.url)) }),
  );
  // The broker allows pages of the cloud's origin. The page must really be served: Chromium treats a page that a test
  // makes up as one of the public internet, which may not reach loopback.
  await page.goto(`${cloud}/jwks.json`);
  await page.addScriptTag({ path: require.resolve("cos-js-sdk-v5/dist/cos-js-sdk-v5.min.js") });
  await page.exposeFunction("say", (line) => console.log(JSON.stringify(line)));
  await page.evaluate(
    async ({ broker, cloud, host, port }) => {
      const { scenario } = await import("/scenario.mjs");
      await scenario({
        COS: window.COS,
        ways: {
          resolver: { Protocol: "http:" },
          localhost: { Protocol: "http:", Domain: `{Bucket}.cos.localhost:${port}` },
          path: { Protocol: "http:", Domain: `${host}/{Bucket}` },
        },
        broker,
        cloud,
        say: window.say,
        blob: (bytes) => new Blob([bytes]),
        file: (bytes) => ({ Body: new Blob([bytes]) }),
        download: { DataType: "arraybuffer" },
      });
    },
    { broker, cloud, host, port },
  );
} finally {
  await browser.close();
}
