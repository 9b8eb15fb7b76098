// What the reader wants of the card, in the page's own words for it: data-lift-card and the like of
// #said, and data-first while it wants nothing.

import { stream } from "./kiosk.js";
import "./page.js";

const said = document.getElementById("said");
const listeners = [];

// listener() comes after other words stand there.
export function onSaid(listener) {
  listeners.push(listener);
}

function words(code) {
  return said.dataset[code.toLowerCase().replace(/_(.)/g, (_, letter) => letter.toUpperCase())] ?? said.dataset.first;
}

stream.onState((state) => {
  if (!said) return;
  const text = state.card_prompt ? words(state.card_prompt) : said.dataset.first;
  if (said.textContent === text) return;
  said.textContent = text;
  for (const listener of listeners) listener();
});
