// cos-nodejs-sdk-v5 against the sandbox: node node.mjs BROKER CLOUD. One JSON line per step.

import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { scenario } from "./scenario.mjs";

const COS = createRequire(import.meta.url)("cos-nodejs-sdk-v5");
const [broker, cloud] = process.argv.slice(2);
const address = new URL(cloud).host;
const folder = mkdtempSync(join(tmpdir(), "cosbroker-node-"));
const FilePath = join(folder, "upload.bin");

// The SDK writes advice to standard output.
const print = console.log;
console.log = console.warn = console.error = () => {};

const world = {
  COS,
  ways: {
    proxy: { Protocol: "http:", Proxy: cloud },
    address: { Protocol: "http:", Ip: address },
    path: { Protocol: "http:", Domain: `${address}/{Bucket}` },
  },
  broker,
  cloud,
  say: (line) => print(JSON.stringify(line)),
  blob: (bytes) => Buffer.from(bytes),
  file(bytes) {
    writeFileSync(FilePath, bytes);
    return { FilePath };
  },
};

try {
  await scenario(world);
} finally {
  rmSync(folder, { recursive: true });
}
