// cos-wx-sdk-v5 in its default settings with the sandbox: node mini_program.mjs BROKER CLOUD. One JSON line per step.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { runtime } from "./mini_program_runtime.mjs";
import { app, attempt, BUCKET, FILES, scenario, tokenOf } from "./scenario.mjs";

const [broker, cloud] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "cosbroker-mini-program-"));
const FilePath = join(folder, "upload.bin");
globalThis.wx = runtime(cloud, folder);
// The names of a browser are declared in that runtime, without a value.
globalThis.window = undefined;
const COS = createRequire(import.meta.url)("cos-wx-sdk-v5");

// The SDK writes advice to standard output.
const print = console.log;
console.log = console.warn = console.error = () => {};

const world = {
  COS,
  ways: {
    defaults: {},
    http: { Protocol: "http:" },
    path: { Protocol: "http:", Domain: `${new URL(cloud).host}/{Bucket}` },
  },
  broker,
  cloud,
  say: (line) => print(JSON.stringify(line)),
  blob: (bytes) => bytes.buffer,
  file(bytes) {
    writeFileSync(FilePath, bytes);
    return { FilePath };
  },
  download: { DataType: "arraybuffer" },
};

/** What only mini-programs do: upload with a form, and download with the runtime. */
async function forms() {
  const cos = app({ ...world, pointing: {} }, await tokenOf(world, "alice"), FILES);
  const mine = { ...BUCKET, Key: "users/alice/form + 路.txt", ...world.file(Buffer.from("from a form")) };
  const theirs = { ...mine, Key: "users/bob/form.txt" };
  await attempt(world, "upload with a form", () => cos.uploadFile(mine).then(() => undefined));
  await attempt(world, "download of the form's file", () => downloaded(cos, mine));
  await attempt(world, "upload with a form to bob's home", () => cos.uploadFile(theirs));
  const empty = { ...mine, Key: "users/alice/empty.txt", ...world.file(Buffer.alloc(0)) };
  await attempt(world, "upload of an empty file with a form", () => cos.uploadFile(empty).then(() => undefined));
}

async function downloaded(cos, { Bucket, Region, Key }) {
  const url = await new Promise((signed, failed) =>
    cos.getObjectUrl({ Bucket, Region, Key }, (error, { Url }) => (error ? failed(error) : signed(Url))),
  );
  const { statusCode, tempFilePath } = await new Promise((success, fail) => wx.downloadFile({ url, success, fail }));
  return `${statusCode} ${readFileSync(tempFilePath, "utf8")}`;
}

try {
  await forms();
  await scenario(world);
} finally {
  rmSync(folder, { recursive: true });
}
