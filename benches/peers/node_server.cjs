// A Node server around qcloud-cos-sts, as the vendor's demo has it: each request is a call to STS.
const http = require('node:http');
const { createRequire } = require('node:module');
const path = require('node:path');

const [modules, sts, port] = process.argv.slice(2);
const from = createRequire(path.join(path.resolve(modules), 'qcloud-cos-sts', 'index.js'));
const axios = from('axios');
const { getCredential } = from('./index.js');
// The SDK calls STS by HTTPS only, and keeps no connection. Connections are kept here, which is faster.
axios.defaults.httpAgent = new http.Agent({ keepAlive: true });
axios.interceptors.request.use((config) => ({ ...config, url: config.url.replace('https://', 'http://') }));

const policy = {
  version: '2.0',
  statement: [{
    action: ['name/cos:PutObject', 'name/cos:PostObject'],
    effect: 'allow',
    resource: ['qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/users/alice/*'],
  }],
};

http.createServer(async (request, response) => {
  try {
    const credential = await getCredential({
      secretId: 'AKIDbench', secretKey: 'bench', durationSeconds: 1800, region: 'ap-guangzhou', host: sts, policy,
    });
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(credential));
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error));
  }
}).listen(Number(port), '127.0.0.1');
