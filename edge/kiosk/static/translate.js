// Another language where somebody has typed or drawn something: the words of the page are exchanged for those
// of the same page in the new language, and all else stays as it is. Nothing that was typed is stored anywhere.

import { stream } from "./kiosk.js";

const WORDS = /^(lang|alt|title|placeholder|aria-label|aria-pressed|data-.+)$/;

let written = false;
let busy = false;

document.addEventListener("input", (event) => {
  if (event.target.type !== "password") written = true;
});

// Brings the page into the device's language; one on which nothing was written is loaded anew.
export async function translate() {
  if (busy) return;
  busy = true;
  if (!written || !(await exchangeWords())) {
    window.location.reload();
    return;
  }
  busy = false;
  stream.repeat(); // its words too; and the language may have changed again
}

async function exchangeWords() {
  const page = await pageAnew().catch(() => null);
  if (!page || whatIsShown(page) !== whatIsShown(document) || !exchange(document.body, page.body)) return false;
  for (const secret of document.querySelectorAll("input[type=password]")) secret.value = "";
  document.title = page.title;
  document.documentElement.lang = page.documentElement.lang;
  return true;
}

async function textOf(path) {
  const answer = await fetch(path, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) throw new Error(path);
  return answer.text();
}

async function pageAnew() {
  const page = new DOMParser().parseFromString(await textOf(window.location.href), "text/html");
  const screen = page.getElementById("screen");
  if (screen) screen.innerHTML = await textOf("/session/screen");
  return page;
}

// The path, the visit, and the session's question, whatever the language.
function whatIsShown(page) {
  const { path, visit } = page.documentElement.dataset;
  const key = page.querySelector("[data-key]")?.dataset.key.replace(/-\w+$/, "");
  return JSON.stringify([path, visit, key]);
}

// Returns whether both have the same parts, which is whether the words of the second are in the first now.
function exchange(here, there) {
  if (here.nodeName !== there.nodeName) return false;
  if (there.nodeType !== Node.ELEMENT_NODE) {
    if (here.data !== there.data) here.data = there.data;
    return true;
  }
  for (const { name, value } of there.attributes) {
    if (WORDS.test(name)) here.setAttribute(name, value);
  }
  if (there.matches("input[name=language]")) here.value = there.value; // in which a text was read
  if (!there.hasChildNodes()) return true; // what is there now was typed, or written by a script
  const parts = [...there.childNodes];
  return here.childNodes.length === parts.length && parts.every((part, n) => exchange(here.childNodes[n], part));
}
