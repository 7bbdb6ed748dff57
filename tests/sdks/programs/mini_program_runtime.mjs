// The parts of WeChat's runtime for mini-programs that cos-wx-sdk-v5 uses, in Node. A mini-program connects with HTTPS
// only; here what is for COS reaches the sandbox, with plain HTTP.

import { promises as fs, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const COS_DOMAINS = /\.(myqcloud\.com|tencentcos\.cn)$/;

/** Starts the runtime and cos-wx-sdk-v5 in it: the SDK, `say`, which prints a line of JSON, and files to upload. */
export function start(cloud) {
  const folder = mkdtempSync(join(tmpdir(), "cosbroker-mini-program-"));
  process.on("exit", () => rmSync(folder, { recursive: true }));
  globalThis.wx = runtime(cloud, folder);
  // The names of a browser are declared in that runtime, without a value.
  globalThis.window = undefined;
  const COS = createRequire(import.meta.url)("cos-wx-sdk-v5");
  // The SDK writes advice to standard output.
  const print = console.log;
  console.log = console.warn = console.error = () => {};
  const FilePath = join(folder, "upload.bin");
  return {
    COS,
    say: (line) => print(JSON.stringify(line)),
    file(bytes) {
      writeFileSync(FilePath, bytes);
      return { FilePath };
    },
    download: { DataType: "arraybuffer" },
  };
}

/** Returns the global object `wx`. It connects to `cloud` for every host of COS, and downloads into `folder`. */
function runtime(cloud, folder) {
  const stored = new Map();
  return {
    canIUse: () => true,
    getAppBaseInfo: () => ({ SDKVersion: "3.10.0" }),
    getDeviceInfo: () => ({ platform: "android" }),
    getNetworkType: ({ success }) => success({ networkType: "wifi" }),
    getStorageSync: (key) => stored.get(key) ?? "",
    setStorageSync: (key, value) => stored.set(key, value),
    removeStorageSync: (key) => stored.delete(key),
    getFileSystemManager: () => fileSystem,
    request({ data, responseType, ...sent }) {
      return task(sent, async (signal) => {
        const answer = await send(cloud, { ...sent, body: data && Buffer.from(data), signal });
        const { buffer, byteOffset, byteLength } = answer.body;
        const asText = responseType !== "arraybuffer";
        return { ...answer, data: asText ? answer.body.toString() : buffer.slice(byteOffset, byteOffset + byteLength) };
      });
    },
    uploadFile({ filePath, name, formData, header, ...sent }) {
      return task(sent, async (signal) => {
        const { body, contentType } = await form(formData, name, filePath);
        const headers = { ...header, "content-type": contentType };
        const answer = await send(cloud, { ...sent, method: "POST", header: headers, body, signal });
        return { ...answer, data: answer.body.toString() };
      });
    },
    downloadFile(sent) {
      return task(sent, async (signal) => {
        const answer = await send(cloud, { ...sent, method: "GET", signal });
        const tempFilePath = join(folder, "downloaded");
        await fs.writeFile(tempFilePath, answer.body);
        return { ...answer, tempFilePath };
      });
    },
  };
}

const fileSystem = {
  readFile({ filePath, position = 0, length, success, fail }) {
    const read = fs.readFile(filePath).then((bytes) => {
      const wanted = bytes.subarray(position, length === undefined ? undefined : position + length);
      return { data: Uint8Array.from(wanted).buffer };
    });
    read.then(success, ({ message }) => fail({ errMsg: `readFile:fail ${message}` }));
  },
  stat({ path, success, fail }) {
    fs.stat(path).then((stats) => success({ stats }), ({ message }) => fail({ errMsg: `stat:fail ${message}` }));
  },
};

/** Starts a request, and returns the object that its caller may abort it with. */
function task({ success, fail }, act) {
  const stop = new AbortController();
  act(stop.signal).then(success, ({ message }) => fail({ errMsg: `request:fail ${message}` }));
  return { abort: () => stop.abort(), onProgressUpdate: () => {} };
}

async function form(fields, fileField, filePath) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, String(value));
  data.append(fileField, new Blob([await fs.readFile(filePath)]), filePath.split("/").pop());
  const encoded = new Response(data);
  return { body: Buffer.from(await encoded.arrayBuffer()), contentType: encoded.headers.get("content-type") };
}

async function send(cloud, { url, method, header, body, signal }) {
  const { hostname, host, pathname, search } = new URL(url);
  const address = new URL(COS_DOMAINS.test(hostname) ? cloud : url);
  const options = { host: address.hostname, port: address.port, path: pathname + search, method, signal };
  const response = await new Promise((answered, failed) => {
    http
      .request({ ...options, headers: { ...header, host } }, answered)
      .on("error", failed)
      .end(body);
  });
  const answer = Buffer.concat(await response.toArray());
  return { statusCode: response.statusCode, header: response.headers, body: answer };
}
