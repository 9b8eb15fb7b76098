// What the reader wants of the card, in the page's own words for it: data-lift-card and the like of #said.

import { stream } from "./kiosk.js";
import "./page.js";

const said = document.getElementById("said");
const first = said?.textContent ?? ""; // what stands there while the reader wants nothing
const listeners = [];

// listener() comes after other words stand there.
export function onSaid(listener) {
  listeners.push(listener);
}

function words(code) {
  return said.dataset[code.toLowerCase().replace(/_(.)/g, (_, letter) => letter.toUpperCase())] ?? first;
}

stream.onState((state) => {
  if (!said) return;
  const text = state.card_prompt ? words(state.card_prompt) : first;
  if (said.textContent === text) return;
  said.textContent = text;
  for (const listener of listeners) listener();
});
