// cos-wx-sdk-v5 in its default settings with the sandbox: node mini_program.mjs BROKER CLOUD. One JSON line per step.

import { readFileSync } from "node:fs";

import { start } from "./mini_program_runtime.mjs";
import { app, attempt, BUCKET, FILES, scenario, tokenOf } from "./scenario.mjs";

const [broker, cloud] = process.argv.slice(2);
const world = {
  ...start(cloud),
  ways: {
    defaults: {},
    http: { Protocol: "http:" },
    path: { Protocol: "http:", Domain: `${new URL(cloud).host}/{Bucket}` },
  },
  broker,
  cloud,
  blob: (bytes) => bytes.buffer,
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

await forms();
await scenario(world);
