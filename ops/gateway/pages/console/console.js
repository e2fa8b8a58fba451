// Keeps a page fresh: what is marked data-live is fetched anew every few seconds while somebody looks, and not while
// something in it has the focus or is selected. Without this script such pages reload themselves now and then.
"use strict";

const EVERY_MS = 4000;
const live = document.querySelector("[data-live]");

async function freshen() {
  if (document.hidden || live.contains(document.activeElement) || String(getSelection())) return;
  const answer = await fetch(location.href, { headers: { "X-Requested-With": "freshen" } });
  if (answer.redirected) location.reload(); // signed out meanwhile
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("[data-live]");
  if (fresh && fresh.innerHTML !== live.innerHTML) live.replaceChildren(...fresh.childNodes);
}

if (live) setInterval(() => freshen().catch(() => {}), EVERY_MS); // away for a moment: the next turn tries again
