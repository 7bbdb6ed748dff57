// Draws the overview anew every few seconds. Without it the page is whole, and as old as it is.

const EVERY = 5000;
const live = document.querySelector("#live");
const main = document.querySelector("main");
const drawn = () => new Date().toLocaleTimeString([], { hour12: false });

const isInUse = () => main.contains(document.activeElement) || !document.getSelection().isCollapsed;

const draw = async () => {
  const answer = await fetch("/", { headers: { accept: "text/html" } });
  if (!answer.ok) throw new Error(`the listener answers ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  // Not under somebody's hands.
  if (!isInUse()) main.replaceChildren(...page.querySelector("main").childNodes);
  live.className = "";
  live.textContent = `live, ${drawn()}`;
};

const follow = async () => {
  if (!document.hidden) {
    await draw().catch((error) => {
      live.className = "bad";
      live.textContent = `not reachable: ${error.message}`;
    });
  }
  setTimeout(follow, EVERY);
};

live.textContent = `live, ${drawn()}`;
setTimeout(follow, EVERY);
