// The server that the vendor's suites request temporary keys and signatures from, in place of the vendor's demo server
// (`server/sts.js` of cos-js-sdk-v5).

import http from "node:http";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const STS = require("qcloud-cos-sts");
const COS = require("cos-nodejs-sdk-v5");
const axios = createRequire(require.resolve("qcloud-cos-sts"))("axios");

// The package uses https only; a sandbox on loopback has no certificate.
axios.interceptors.request.use((request) => ({ ...request, url: request.url.replace("https:", "http:") }));

/**
 * Starts the server, and returns its URL. The keys may do everything with the objects of a folder; `files` answers the
 * requests for anything else.
 */
export async function startKeyServer({ cloud, secretId, secretKey, folder }, files = (_, response) => response.end()) {
  const resource = [`qcs::cos:*:uid/1250000000:*/${folder}*`];
  const policy = { version: "2.0", statement: [{ effect: "allow", action: ["*"], resource }] };
  const answers = {
    "/sts": () => STS.getCredential({ secretId, secretKey, policy, endpoint: new URL(cloud).host, proxy: false }),
    "/uploadSign": () => {
      const signed = { SecretId: secretId, SecretKey: secretKey, Method: "PUT", Pathname: "/1.txt" };
      return { signMap: { PutObject: COS.getAuthorization(signed) } };
    },
  };
  const server = http.createServer(async (request, response) => {
    const answer = answers[request.url];
    if (answer) response.end(JSON.stringify(await answer()));
    else files(request, response);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return `http://127.0.0.1:${server.address().port}`;
}
