// Opens the operators' page in the states that an engineer on call meets, in Chromium:
// `node operators_states.mjs <operators> <broker> <cloud> <chromium> <folder for screenshots>`. Prints what the browser knows
// of each as JSON lines; tests/sdks/page.rs compares them with what is expected.

import { launch } from "./chromium.mjs";

const [operators, broker, cloud, executablePath, shots] = process.argv.slice(2);
const CONCURRENT_REQUESTS = 40;
const FAILING_USERS = 12;

const say = (step, seen) => console.log(JSON.stringify({ step, seen }));

const requestKey = async (user) => {
  const token = await (await fetch(`${cloud}/token?sub=${user}`)).text();
  const answer = await fetch(`${broker}/v1/credentials`, { headers: { authorization: `Bearer ${token}` } });
  await answer.arrayBuffer();
  return answer.status;
};

const requestKeys = async (names) => {
  const waiting = [...names];
  const work = async () => {
    for (let name = waiting.pop(); name; name = waiting.pop()) await requestKey(name);
  };
  await Promise.all([...Array(CONCURRENT_REQUESTS)].map(work));
};

const inject = async (fault) => fetch(`${cloud}/faults`, { method: "POST", body: JSON.stringify(fault) });

// What is shown: run in the page.
const look = () => {
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  // WCAG 2.2, 1.4.3.
  const contrast = (element) => {
    const [light, dark] = [luminance(channels(getComputedStyle(element).color)), luminance(paper(element))].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const isShown = (element) => element.checkVisibility() && element.getClientRects().length > 0;
  const texts = [...document.body.querySelectorAll("*")].filter((element) => !element.closest("svg") && hasText(element) && isShown(element));
  const called = (element) => `${element.tagName.toLowerCase()}.${element.className}: ${element.textContent.trim().slice(0, 40)}`;
  const isOutside = (element) => {
    const { left, right } = element.getBoundingClientRect();
    return left < 0 || right > innerWidth + 1;
  };
  const first = document.querySelector("main").firstElementChild;
  return {
    scrolls: document.documentElement.scrollWidth > innerWidth,
    outside: texts.filter(isOutside).map(called).slice(0, 5),
    faint: texts.filter((element) => contrast(element) < 4.5).map((element) => `${contrast(element).toFixed(2)} ${called(element)}`).slice(0, 5),
    small: texts.filter((element) => parseFloat(getComputedStyle(element).fontSize) < 11).map(called).slice(0, 5),
    height: document.documentElement.scrollHeight,
    first: first.innerText,
    firstClass: first.className,
    firstBottom: Math.round(first.getBoundingClientRect().bottom),
    rows: document.querySelectorAll("tbody tr").length,
    lang: document.documentElement.lang,
  };
};

const browser = await launch(executablePath);
const shoot = async (state, path, { width, colorScheme, locale }, act = async () => {}) => {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme, locale });
  await page.goto(new URL(path, operators).href);
  await act(page);
  const name = `state-${state}-${width}-${colorScheme}-${locale}`;
  await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
  say(name, await page.evaluate(look));
  await page.close();
};

const light = { colorScheme: "light", locale: "en-GB" };
const dark = { colorScheme: "dark", locale: "en-GB" };
const inChinese = { colorScheme: "light", locale: "zh-CN" };
const darkInChinese = { colorScheme: "dark", locale: "zh-CN" };
const VIEWS = [
  { width: 1280, ...light },
  { width: 1280, ...darkInChinese },
  { width: 600, ...inChinese },
  { width: 360, ...dark },
];

try {
  for (const view of VIEWS) await shoot("good", "/", view);
  for (const view of VIEWS) await shoot("keys", "/keys", view);
  const ask = async (page) => {
    await page.fill("[name=claims]", JSON.stringify({ sub: "alice" }));
    await page.fill("[name=action]", "PutObject");
    await page.fill("[name=key]", "users/alice/cat.jpg");
    await page.fill("[name=size]", "1048576");
    await page.click("button.primary");
  };
  for (const view of VIEWS) await shoot("template", "/templates/upload", view, ask);

  await inject({ on: "sts", fault: "error" });
  await requestKeys([...Array(FAILING_USERS).keys()].map((n) => `new${n}`));
  for (const view of VIEWS) await shoot("outage", "/", view);
} finally {
  await browser.close();
}
