// The session's page: it draws the screen that the device names, its pictures, colours and words, and posts answers.

import { post, stream } from "./kiosk.js";
import { preparePads } from "./pads.js";
import { translate } from "./translate.js";

const screen = document.getElementById("screen");
const live = document.getElementById("live");
const picture = document.getElementById("picture");
const preview = document.getElementById("preview");
const prompt = document.getElementById("prompt");
const light = document.getElementById("light");
const foot = document.getElementById("foot");
const left = document.getElementById("left");
const leftBar = document.getElementById("left-bar");
const leftWords = document.getElementById("left-words");
const stopButton = document.getElementById("stop");
const stopDialog = document.getElementById("stop-dialog");
const context = preview.getContext("2d");
const LEFT_SHOWN_S = 30; // nobody is hurried who has time

let wantedKey = "";
let typed = ""; // in the last answer: it comes back where it was refused
let deadline = null;

async function drawScreen(key) {
  wantedKey = key;
  const response = await fetch("/session/screen");
  if (wantedKey !== key || !response.ok) return;
  const holder = document.createElement("template");
  holder.innerHTML = await response.text();
  if (wantedKey !== key) return; // something newer is on its way
  screen.replaceChildren(holder.content);
  preparePads(screen);
  const refused = screen.querySelector("#field[aria-invalid]");
  if (refused) refused.value = typed;
  const first = screen.querySelector("[data-focus]") ?? screen.querySelector("h1");
  first?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function drawPrompt(state) {
  const shown = state.prompt !== null;
  prompt.hidden = !shown;
  const posing = state.light?.colour || state.prompt?.symbol === "plug"; // somebody still has something to do
  const resting = state.still && state.stage === "capture" && shown && !posing;
  const words = resting ? prompt.dataset.working : state.prompt?.text;
  if (shown && prompt.textContent !== words) prompt.textContent = words;
  picture.dataset.symbol = resting ? "rest" : shown ? state.prompt.symbol : "oval";
  document.body.dataset.prompt = shown ? state.prompt.code : "";
}

let lightNumber = 0;

function drawLight(state) {
  const colour = state.light?.colour ?? null;
  light.hidden = colour === null;
  document.body.classList.toggle("lit", colour !== null);
  if (colour !== null) light.style.backgroundColor = colour;
  const number = state.light?.number ?? 0;
  if (number > lightNumber) {
    lightNumber = number;
    // The second frame begins once the first, which has the colour, was handed to the screen.
    requestAnimationFrame(() => requestAnimationFrame(() => stream.say({ painted: number })));
  }
}

function drawTime() {
  const seconds = deadline === null ? null : Math.max(0, (deadline - performance.now()) / 1000);
  const shown = seconds !== null && seconds <= LEFT_SHOWN_S;
  left.hidden = !shown;
  if (!shown) return;
  const words = leftWords.dataset.words.replace("{seconds}", Math.ceil(seconds));
  if (leftWords.textContent !== words) leftWords.textContent = words;
  leftBar.style.width = `${(100 * seconds) / LEFT_SHOWN_S}%`;
}

stream.onState((state) => {
  if (state.stage === "none") {
    if (state.controls) window.location.assign(state.back); // where the answer to leaving goes too
    return;
  }
  if (state.language !== document.documentElement.lang) {
    translate(); // every word of the page; the session does not notice
    return;
  }
  const capturing = state.stage === "capture";
  document.body.dataset.screen = state.screen.id;
  live.hidden = !capturing;
  foot.hidden = !state.busy;
  stopButton.disabled = state.stopping;
  if (!state.busy && stopDialog.open) stopDialog.close();
  if (!capturing) context.clearRect(0, 0, preview.width, preview.height);
  deadline = state.question === null ? null : performance.now() + 1000 * state.question.left_s;
  drawPrompt(state);
  drawLight(state);
  drawTime();
  const drawnKey = screen.firstElementChild?.dataset.key;
  if (state.controls && state.screen.key !== drawnKey && state.screen.key !== wantedKey) {
    drawScreen(state.screen.key);
  }
});

stream.onFrame(async (jpeg) => {
  const bitmap = await createImageBitmap(jpeg);
  if (preview.width !== bitmap.width || preview.height !== bitmap.height) {
    preview.width = bitmap.width;
    preview.height = bitmap.height;
  }
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  preview.dataset.frames = String(Number(preview.dataset.frames ?? 0) + 1);
});

window.setInterval(drawTime, 500);

// Answers

function answerOf(form, submitter) {
  const values = { question: Number(form.dataset.answer) };
  for (const [name, value] of new FormData(form, submitter)) {
    if (name === "yes" || name === "refused") values[name] = value === "true";
    else values[name] = value;
  }
  return values;
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.answer) return;
  event.preventDefault();
  if (form.dataset.busy) return;
  form.dataset.busy = "true";
  const values = answerOf(form, event.submitter);
  if (event.submitter?.hasAttribute("data-refuse")) values.text = "";
  typed = values.text ?? "";
  if (form.hasAttribute("data-signature")) {
    if (!values.name) {
      delete values.name;
      Object.assign(values, form.strokes());
    }
  }
  const answer = await post("/session/answer", values);
  if (answer.error) delete form.dataset.busy;
});

stopButton.addEventListener("click", () => stopDialog.showModal());
document.getElementById("stop-no").addEventListener("click", () => stopDialog.close());
for (const button of stopDialog.querySelectorAll("[data-stop]")) {
  button.addEventListener("click", async () => {
    stopDialog.close();
    await post("/session/stop", { who: button.dataset.stop });
  });
}
