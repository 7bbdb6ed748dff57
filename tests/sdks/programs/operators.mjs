// Uses the operators' page as an operator on call does, in Chromium:
// `node operators.mjs <operators> <broker> <cloud> <chromium> <folder for screenshots>`. Prints what it sees as JSON
// lines; tests/sdks/page.rs compares them with what is expected.

import { launch } from "./chromium.mjs";

const [operators, broker, cloud, executablePath, shots] = process.argv.slice(2);
const USERS = 10;

const say = (step, seen) => console.log(JSON.stringify({ step, seen }));

const token = async (user) => (await fetch(`${cloud}/token?sub=${user}`)).text();
const tokens = await Promise.all([...Array(USERS).keys()].map((n) => token(`user${n}`)));
const requestKey = async (bearer) =>
  (await fetch(`${broker}/v1/credentials`, { headers: { authorization: `Bearer ${bearer}` } })).status;
const allUsersRequest = async (times) => {
  for (let n = 0; n < times; n++) await Promise.all(tokens.map(requestKey));
};

const browser = await launch(executablePath);
try {
  const errors = [];
  const origins = new Set();
  const open = async (options) => {
    const page = await browser.newPage(options);
    page.on("request", (request) => origins.add(new URL(request.url()).origin));
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (line) => line.type() === "error" && errors.push(line.text()));
    await page.goto(operators);
    return page;
  };
  const tile = (page, name) => page.locator(".tiles li", { hasText: name }).locator("b");
  const hitRateBecomes = (page, rate) =>
    page.waitForFunction(
      (rate) => [...document.querySelectorAll(".tiles li")].some((tile) => tile.textContent.startsWith(`Hit rate${rate}`)),
      rate,
      { timeout: 30_000 },
    );

  const page = await open({ viewport: { width: 1280, height: 900 } });
  say("before any request", await tile(page, "Hit rate").textContent());
  await allUsersRequest(1);
  await hitRateBecomes(page, "0 %");
  await allUsersRequest(1);
  await hitRateBecomes(page, "50 %");
  await allUsersRequest(8);
  await hitRateBecomes(page, "90 %");
  say("hit rate", await tile(page, "Hit rate").textContent());
  say("charts", await page.locator(".chart svg").evaluateAll((charts) => charts.map((chart) => chart.getAttribute("aria-label"))));
  say("active keys", await tile(page, "Active keys").textContent());

  const find = async (page, user) => {
    await page.fill("[name=subject]", user);
    await page.click("text=Find keys");
  };
  await find(page, "user3");
  say("found", await page.locator("tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText))));
  await page.click("text=Revoke…");
  say("confirmation", await page.locator("main").innerText());
  await page.click("button.danger");
  say("revoked", await page.locator("main").innerText());
  say("next request of the revoked user", await requestKey(tokens[3]));
  say("request of another user", await requestKey(tokens[4]));
  await page.click("nav >> text=Overview");
  say("refusals", await page.locator("section", { hasText: "Recent refusals" }).locator("tbody tr").allInnerTexts());

  // Without scripts the page is complete and has the same functions.
  const plain = await open({ javaScriptEnabled: false, viewport: { width: 390, height: 800 } });
  say("hit rate without scripts", await tile(plain, "Hit rate").textContent());
  await plain.click("text=1 user is revoked.");
  await plain.click("text=user3");
  await plain.click("text=Restore…");
  await plain.click("button.primary");
  say("restored", await plain.locator("main").innerText());
  say("next request of the restored user", await requestKey(tokens[3]));
  // The console reports that it does not run the page's script.
  errors.splice(0, errors.length, ...errors.filter((error) => !error.includes("scripts are disabled")));

  // Subjects may be long, in keys and in refusals.
  const long = await token("0123456789abcdef".repeat(8));
  await requestKey(long);
  await fetch(`${broker}/v1/credentials/nothing`, { headers: { authorization: `Bearer ${long}` } });
  const pages = {
    overview: "/",
    users: "/keys",
    keys: "/keys?subject=user3",
    revoke: "/revoke?subject=user3",
    advise: "/advise",
  };
  const overflowing = [];
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 768, 390, 320]) {
      for (const [shown, path] of Object.entries(pages)) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 900 });
        await page.goto(new URL(path, operators).href);
        const name = `operators-${shown}-${width}-${colorScheme}.png`;
        await page.screenshot({ path: `${shots}/${name}`, fullPage: true });
        if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) overflowing.push(name);
      }
    }
  }
  say("overflowing", overflowing);
  say("origins", [...origins]);
  say("errors", errors);
} finally {
  await browser.close();
}
