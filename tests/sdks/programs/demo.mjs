// Uses the sandbox's demo page in Chromium: `node demo.mjs <cloud> <chromium>`. Prints what the page shows as JSON lines;
// the expected values are in tests/sdks/demo.rs.

import { launch } from "./chromium.mjs";

const [cloud, executablePath] = process.argv.slice(2);
const MIB = 1024 * 1024;

const say = (step, seen) => console.log(JSON.stringify({ step, seen }));
const file = (name, size) => ({ name, mimeType: "text/html", buffer: Buffer.alloc(size, "x") });

const browser = await launch(executablePath);
try {
  const page = await browser.newPage();
  const origins = new Set();
  const errors = [];
  page.on("request", (request) => origins.add(new URL(request.url()).origin));
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (line) => {
    // A browser logs every 4xx response; the page shows them itself.
    if (line.type() === "error" && !line.text().startsWith("Failed to load resource")) errors.push(line.text());
  });
  await page.goto(cloud, { waitUntil: "load" });
  await page.waitForFunction(() => document.querySelector("select").options.length > 1);
  say("templates", await page.locator("select option").allTextContents());

  const signIn = async (user, template) => {
    await page.fill("[name=user]", user);
    await page.selectOption("select", template);
    await page.click("button.primary");
    await page.getByRole("heading", { name: `Signed in as ${user}, ${template}` }).waitFor();
  };
  await signIn("alice", "files");
  say("folder", await page.textContent("#folder"));
  await page.click("#again");
  await page.locator("#cache", { hasText: "hit" }).waitFor();
  say("curl", await page.textContent("#curl"));
  if (await page.isVisible("#no-sdk")) {
    say("no SDK", await page.textContent("#no-sdk"));
    say("may upload", await page.isEnabled("#pick"));
  } else {
    await page.setInputFiles("#pick", [file("large & + ü.html", 12 * MIB), file("small.txt", 5)]);
    await page.waitForFunction(() => document.querySelectorAll("#list li").length === 2 && !document.querySelector("#transfers li"));
    say("files", (await page.locator("#list .name").allTextContents()).sort());
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download large & + ü.html" }).click();
    const chunks = await (await download).createReadStream();
    let bytes = 0;
    for await (const chunk of chunks) bytes += chunk.length;
    say("downloaded", bytes);
    await page.getByRole("button", { name: "Delete small.txt" }).click();
    await page.waitForFunction(() => document.querySelectorAll("#list li").length === 1);
    await page.click("#trespass");
    await page.waitForFunction(() => document.querySelectorAll("#attempts li").length === 3);
    say("badges", await page.locator("#attempts .badge").allTextContents());
    say("refusals", await page.locator("#attempts p:not(.hint)").allTextContents());
    say("reasons", await page.locator("#attempts .hint").allTextContents());
    await signIn("bob", "files");
    await page.waitForFunction(() => document.querySelector("#list-note").textContent);
    say("bob's files", await page.textContent("#list-note"));
  }
  say("origins", [...origins].sort());
  say("errors", errors);
} finally {
  await browser.close();
}
