// The size of clients/js when an app's bundler has minified it: node minify.mjs. Prints it in bytes.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { minify } = createRequire(import.meta.url)("terser");
const source = readFileSync(new URL("../../../clients/js/cosbroker.js", import.meta.url), "utf8");
const { code } = await minify(source, { module: true });
console.log(Buffer.byteLength(code));
