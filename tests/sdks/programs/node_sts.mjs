// qcloud-cos-sts with the STS emulator: node node_sts.mjs CLOUD SECRET_ID SECRET_KEY. One JSON line per step.

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const STS = require("qcloud-cos-sts");
const COS = require("cos-nodejs-sdk-v5");
const axios = createRequire(require.resolve("qcloud-cos-sts"))("axios");
const [cloud, secretId, secretKey] = process.argv.slice(2);

// The package uses https only; a sandbox on loopback has no certificate.
axios.interceptors.request.use((request) => ({ ...request, url: request.url.replace("https:", "http:") }));

const bucket = { bucket: "examplebucket-1250000000", region: "ap-guangzhou" };
const policy = STS.getPolicy([{ ...bucket, action: "name/cos:PutObject", prefix: "sts/*" }]);
const call = { secretId, secretKey, policy, endpoint: new URL(cloud).host, proxy: false };

async function put(Key) {
  const { credentials } = await STS.getCredential({ ...call });
  const { tmpSecretId: SecretId, tmpSecretKey: SecretKey, sessionToken: SecurityToken } = credentials;
  const cos = new COS({ Protocol: "http:", Proxy: cloud, SecretId, SecretKey, SecurityToken });
  await cos.putObject({ Bucket: bucket.bucket, Region: bucket.region, Key, Body: "x" });
}

const steps = {
  "a key": () => STS.getCredential({ ...call }),
  "a key of a role": () => STS.getRoleCredential({ ...call, roleArn: "qcs::cam::uin/12345678:roleName/uploader" }),
  "put where the key allows": () => put("sts/x"),
  "put elsewhere": () => put("x"),
  "a wrong secret": () => STS.getCredential({ ...call, secretKey: "wrong" }),
  "an unknown secret id": () => STS.getCredential({ ...call, secretId: "AKIDunknown" }),
  "too long a duration": () => STS.getCredential({ ...call, durationSeconds: 129_601 }),
  "no statement": () => STS.getCredential({ ...call, policy: { version: "2.0" } }),
};
for (const [step, act] of Object.entries(steps)) {
  try {
    console.log(JSON.stringify({ step, ok: true, answer: await act() }));
  } catch (error) {
    const { Code, code, message } = error;
    console.log(JSON.stringify({ step, ok: false, code: Code ?? code, message: String(message) }));
  }
}
