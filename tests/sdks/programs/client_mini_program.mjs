// clients/js with cos-wx-sdk-v5 in the mini-program runtime: node client_mini_program.mjs BROKER CLOUD CLOSED. One JSON line
// per step.

import * as client from "../../../clients/js/cosbroker.js";
import { clientScenario } from "./client_scenario.mjs";
import { start } from "./mini_program_runtime.mjs";

const [broker, cloud, closed] = process.argv.slice(2);
const program = start(cloud);

let sent = 0;
const request = (options) => {
  sent += options.url.startsWith(`${broker}/v1/credentials`);
  return wx.request(options);
};

await clientScenario({
  ...program,
  client,
  pointing: { Protocol: "http:", SimpleUploadMethod: "putObject" },
  broker,
  cloud,
  closed,
  request,
  requests: () => sent,
});
const unlisted = ({ fail }) => fail({ errMsg: "request:fail url not in domain list" });
const { key } = client.createBroker({ url: broker, token: () => "x.y.z", request: unlisted });
program.say({ step: "the broker's domain is not listed", seen: await key().catch((error) => error.name) });
