// clients/js with cos-wx-sdk-v5 in the mini-program runtime: node client_mini_program.mjs BROKER CLOUD CLOSED. One JSON line
// per step.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import * as client from "../../../clients/js/cosbroker.js";
import { clientScenario } from "./client_scenario.mjs";
import { runtime } from "./mini_program_runtime.mjs";

const [broker, cloud, closed] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "cosbroker-client-"));
const FilePath = join(folder, "upload.bin");
globalThis.wx = runtime(cloud, folder);
// The names of a browser are declared in that runtime, without a value.
globalThis.window = undefined;
const COS = createRequire(import.meta.url)("cos-wx-sdk-v5");

// The SDK writes advice to standard output.
const print = console.log;
console.log = console.warn = console.error = () => {};

let sent = 0;
const request = (options) => {
  sent += options.url.startsWith(`${broker}/v1/credentials`);
  return wx.request(options);
};
const say = (line) => print(JSON.stringify(line));

try {
  await clientScenario({
    client,
    COS,
    pointing: { Protocol: "http:", SimpleUploadMethod: "putObject" },
    broker,
    cloud,
    closed,
    say,
    request,
    requests: () => sent,
    file(bytes) {
      writeFileSync(FilePath, bytes);
      return { FilePath };
    },
    download: { DataType: "arraybuffer" },
  });
  const unlisted = ({ fail }) => fail({ errMsg: "request:fail url not in domain list" });
  const { key } = client.createBroker({ url: broker, token: () => "x.y.z", request: unlisted });
  say({ step: "the broker's domain is not listed", seen: await key().catch((error) => error.name) });
} finally {
  rmSync(folder, { recursive: true });
}
