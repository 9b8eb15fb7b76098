// The counter: what is asked for is said aloud where somebody switched that on, and a signature is posted.

import { onSaid } from "./card.js";
import { post } from "./kiosk.js";
import "./page.js";

const said = document.getElementById("said");
const aloud = document.getElementById("aloud");
const voice = window.speechSynthesis;
const KEPT = "aloud"; // until the browser is closed

function speak() {
  voice.cancel();
  const words = new SpeechSynthesisUtterance(said.textContent);
  words.lang = said.lang;
  voice.speak(words);
}

function draw() {
  const on = sessionStorage.getItem(KEPT) === "yes";
  aloud.setAttribute("aria-pressed", on ? "true" : "false");
  if (on) speak();
}

if (aloud && voice) {
  aloud.hidden = false;
  aloud.addEventListener("click", () => {
    const on = aloud.getAttribute("aria-pressed") === "true";
    sessionStorage.setItem(KEPT, on ? "no" : "yes");
    if (on) voice.cancel();
    draw();
  });
  draw();
}

onSaid(() => {
  if (aloud.getAttribute("aria-pressed") === "true") speak();
});

const written = document.getElementById("written");

written?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (written.dataset.busy) return;
  written.dataset.busy = "true";
  const answer = await post("/coop/sign", written.strokes());
  if (answer.error) delete written.dataset.busy;
});
