// Refreshes the overview every few seconds. Without it the page is complete, but does not update.

const REFRESH_INTERVAL_MS = 5000;
const live = document.querySelector("#live");
const main = document.querySelector("main");
const currentTime = () => new Date().toLocaleTimeString([], { hour12: false });

const isInUse = () => main.contains(document.activeElement) || !document.getSelection().isCollapsed;

const update = async () => {
  const response = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!response.ok) throw new Error(`the listener responds with ${response.status}`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  // Do not replace what the operator selects or types into.
  if (!isInUse()) main.replaceChildren(...page.querySelector("main").childNodes);
  live.className = "";
  live.textContent = `${live.dataset.live}, ${currentTime()}`;
};

const refresh = async () => {
  if (!document.hidden) {
    await update().catch((error) => {
      live.className = "bad";
      live.textContent = `${live.dataset.unreachable}: ${error.message}`;
    });
  }
  setTimeout(refresh, REFRESH_INTERVAL_MS);
};

live.textContent = `${live.dataset.live}, ${currentTime()}`;
setTimeout(refresh, REFRESH_INTERVAL_MS);
