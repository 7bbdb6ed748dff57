// Headless Chromium without background traffic, which also runs as root.

import { createRequire } from "node:module";

const { chromium } = createRequire(import.meta.url)("playwright-core");

export const launch = (executablePath, ...more) =>
  chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
      ...more,
    ],
  });
