// tencentcloud-sdk-nodejs-sts with the STS emulator: node node_tencentcloud.mjs CLOUD SECRET_ID SECRET_KEY. One JSON
// line per call, for each signature and method.

import { createRequire } from "node:module";

const { Client } = createRequire(import.meta.url)("tencentcloud-sdk-nodejs-sts").sts.v20180813;
const [cloud, secretId, secretKey] = process.argv.slice(2);

const allow = {
  effect: "allow",
  action: ["name/cos:PutObject"],
  resource: ["qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/a/*"],
};
const policy = encodeURIComponent(JSON.stringify({ version: "2.0", statement: [allow] }));
const role = { RoleArn: "qcs::cam::uin/12345678:roleName/uploader", RoleSessionName: "broker-1" };
const everything = { DurationSeconds: 900, ExternalId: "tenant:1/a", SourceIdentity: "100000000001" };
const tags = [{ Key: "team", Value: "photos" }];

function client(credential, signMethod, reqMethod) {
  const httpProfile = { endpoint: new URL(cloud).host, protocol: "http://", reqMethod };
  const profile = { signMethod, language: "en-US", httpProfile };
  return new Client({ credential, region: "ap-guangzhou", profile });
}

async function outcome(call) {
  try {
    const { Credentials } = await call();
    return Credentials.Token && Credentials.TmpSecretId && Credentials.TmpSecretKey ? "ok" : "empty";
  } catch (error) {
    return error.code ?? String(error);
  }
}

for (const signMethod of ["TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256"]) {
  for (const reqMethod of ["POST", "GET"]) {
    const good = client({ secretId, secretKey }, signMethod, reqMethod);
    const wrong = client({ secretId, secretKey: "wrong" }, signMethod, reqMethod);
    const federation = { Name: "uploader", Policy: policy, DurationSeconds: 1800 };
    const temporary = async () => {
      const { Credentials: key } = await good.AssumeRole({ ...role });
      const credential = { secretId: key.TmpSecretId, secretKey: key.TmpSecretKey, token: key.Token };
      return client(credential, signMethod, reqMethod).AssumeRole({ ...role });
    };
    const calls = {
      federation: () => good.GetFederationToken({ ...federation }),
      role: () => good.AssumeRole({ ...role, ...everything, Policy: policy }),
      "role without a policy": () => good.AssumeRole({ ...role }),
      tags: () => good.AssumeRole({ ...role, Tags: tags }),
      "a temporary key": temporary,
      "a wrong secret": () => wrong.GetFederationToken({ ...federation }),
    };
    for (const [call, act] of Object.entries(calls)) {
      console.log(JSON.stringify({ call: `${signMethod} ${reqMethod}: ${call}`, outcome: await outcome(act) }));
    }
  }
}
