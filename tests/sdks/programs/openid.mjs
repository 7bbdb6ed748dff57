// An OpenID provider, the npm package oidc-provider, as the issuer of an app's tokens: node openid.mjs CLOUD. Prints the
// issuer, then one JSON line for each line of its input:
//   token              an access token of the client `alice`
//   rotate             other keys, and none of the old ones
//   upload CREDENTIALS whether the home of these credentials can be written, by Tencent's SDK

import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { generateKeyPairSync, randomUUID } from "node:crypto";

const require = createRequire(import.meta.url);
const { Provider } = await import(require.resolve("oidc-provider"));
const COS = require("cos-nodejs-sdk-v5");
const [cloud] = process.argv.slice(2);
const resource = "https://app.example.com/";

// The packages write advice to standard output.
const print = console.log;
console.log = console.info = console.warn = () => {};

let handle;
const server = createServer((request, response) => handle(request, response));
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

function rotate() {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const key = { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), alg: "RS256", use: "sig" };
  const provider = new Provider(issuer, {
    jwks: { keys: [key] },
    clients: [
      {
        client_id: "alice",
        client_secret: "a-secret-of-the-test",
        grant_types: ["client_credentials"],
        redirect_uris: [],
        response_types: [],
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({ scope: "files", audience: "app", accessTokenFormat: "jwt" }),
      },
    },
  });
  handle = provider.callback();
}

async function token() {
  const authorization = `Basic ${Buffer.from("alice:a-secret-of-the-test").toString("base64")}`;
  const body = new URLSearchParams({ grant_type: "client_credentials", resource, scope: "files" });
  const answer = await fetch(`${issuer}/token`, { method: "POST", headers: { authorization }, body });
  return (await answer.json()).access_token;
}

async function upload({ credentials, bucket, region, prefix }) {
  const { tmpSecretId: SecretId, tmpSecretKey: SecretKey, sessionToken: SecurityToken } = credentials;
  const cos = new COS({ Protocol: "http:", Proxy: cloud, SecretId, SecretKey, SecurityToken });
  const { statusCode } = await cos.putObject({ Bucket: bucket, Region: region, Key: `${prefix}x`, Body: "x" });
  return statusCode;
}

rotate();
print(JSON.stringify(issuer));
for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...rest] = line.split(" ");
  if (command === "token") print(JSON.stringify(await token()));
  if (command === "rotate") print(JSON.stringify(rotate() ?? "rotated"));
  if (command === "upload") print(JSON.stringify(await upload(JSON.parse(rest.join(" ")))));
}
process.exit(0);
