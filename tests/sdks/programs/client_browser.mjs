// clients/js with cos-js-sdk-v5 in headless Chromium: node client_browser.mjs BROKER CLOUD CLOSED CHROMIUM. One JSON line
// per step.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";

import { launch } from "./chromium.mjs";

const require = createRequire(import.meta.url);
const [broker, cloud, closed, executablePath] = process.argv.slice(2);
const local = (path) => readFileSync(new URL(path, import.meta.url));
const FILES = {
  "/scenario.mjs": local("scenario.mjs"),
  "/client_scenario.mjs": local("client_scenario.mjs"),
  "/cosbroker.js": local("../../../clients/js/cosbroker.js"),
};

// A page of another origin, which the broker does not list.
const other = createServer((request, response) => {
  response.setHeader("content-type", request.url in FILES ? "text/javascript" : "text/html");
  response.end(FILES[request.url] ?? "<!doctype html>");
});
await new Promise((listening) => other.listen(0, "127.0.0.1", listening));

const browser = await launch(executablePath);
try {
  const open = async (address) => {
    const page = await browser.newPage({ bypassCSP: true });
    for (const [path, body] of Object.entries(FILES)) {
      await page.route(cloud + path, (route) => route.fulfill({ contentType: "text/javascript", body }));
    }
    await page.exposeFunction("say", (line) => console.log(JSON.stringify(line)));
    await page.goto(address);
    return page;
  };

  const page = await open(`${cloud}/jwks.json`);
  await page.addScriptTag({ path: require.resolve("cos-js-sdk-v5/dist/cos-js-sdk-v5.min.js") });
  await page.evaluate(
    async ({ broker, cloud, closed }) => {
      const { clientScenario } = await import("/client_scenario.mjs");
      const realFetch = window.fetch;
      let sent = 0;
      window.fetch = (url, options) => {
        sent += String(url).startsWith(`${broker}/v1/credentials`);
        return realFetch(url, options);
      };
      await clientScenario({
        client: await import("/cosbroker.js"),
        COS: window.COS,
        pointing: { Protocol: "http:", Domain: `${new URL(cloud).host}/{Bucket}` },
        broker,
        cloud,
        closed,
        say: window.say,
        requests: () => sent,
        file: (bytes) => ({ Body: new Blob([bytes]) }),
        download: { DataType: "arraybuffer" },
        viaFetch: async ({ url, header, success }) => {
          const answer = await fetch(url, { headers: header });
          success({ statusCode: answer.status, header: {}, data: await answer.json() });
        },
      });
    },
    { broker, cloud, closed },
  );

  const elsewhere = await open(`http://127.0.0.1:${other.address().port}/`);
  await elsewhere.evaluate(async (broker) => {
    const { createBroker } = await import("/cosbroker.js");
    const error = await createBroker({ url: broker, token: () => "x.y.z" }).key().catch((error) => error);
    await window.say({ step: "CORS refuses the page", seen: error.name });
  }, broker);
} finally {
  await browser.close();
  other.close();
}
