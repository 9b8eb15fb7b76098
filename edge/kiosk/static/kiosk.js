// What every page of the kiosk shares: posting, alerts, forms, the language, one stream to the device.
// The page draws what the device says and posts what people do. It decides nothing.

import { openStream } from "./stream.js";

export const stream = openStream();

const alertBox = document.getElementById("alert");

export function showAlert(error) {
  alertBox.replaceChildren();
  const text = document.createElement("strong");
  text.textContent = error.text;
  alertBox.append(text);
  if (error.hint) {
    const hint = document.createElement("span");
    hint.textContent = error.hint;
    alertBox.append(" ", hint);
  }
  alertBox.hidden = false;
  alertBox.dataset.code = error.code;
}

export function clearAlert() {
  alertBox.hidden = true;
  alertBox.replaceChildren();
  delete alertBox.dataset.code;
}

let posting = 0; // posts that wait for their answers, and one whose answer leads elsewhere

export function isPosting() {
  return posting > 0;
}

// Posts one JSON object; goes where the answer says, shows its fault, and returns it.
export async function post(path, values = {}) {
  let answer;
  posting += 1;
  await stream.ready; // who presses at once is not refused for it
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Kiosk-Page": String(stream.page) },
      body: JSON.stringify(values),
    });
    answer = await response.json();
  } catch {
    document.getElementById("offline").hidden = false;
    posting -= 1;
    return { error: { code: "UNREACHABLE", text: "", hint: "" } };
  }
  if (answer.error?.code === "NOT_SIGNED_IN") {
    answer.go = `/sign-in?to=${window.location.pathname}`; // where loading the page leads, too
  }
  if (answer.error?.code === "NO_SESSION") {
    window.location.reload(); // the device was started anew: its own page says what to do
  } else if (answer.error) {
    showAlert(answer.error);
  } else {
    clearAlert();
  }
  if (answer.go) {
    window.location.assign(answer.go);
  } else {
    posting -= 1;
  }
  return answer;
}

// Forms with data-post are sent as JSON: <form data-post="/path">, fields by name; a submit button's name and
// value come too. Buttons with data-post send their data-values. While it is sent nothing can be pressed twice.
function fieldsOf(form, submitter) {
  const values = {};
  for (const [name, value] of new FormData(form, submitter)) {
    if (typeof value === "string") values[name] = value;
  }
  return values;
}

async function once(element, work) {
  if (element.dataset.busy) return;
  element.dataset.busy = "true";
  element.setAttribute("aria-busy", "true");
  try {
    await work();
  } finally {
    delete element.dataset.busy;
    element.removeAttribute("aria-busy");
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.post) return;
  event.preventDefault();
  once(form, async () => {
    const answer = await post(form.dataset.post, fieldsOf(form, event.submitter));
    form.dispatchEvent(new CustomEvent("answered", { bubbles: true, detail: answer }));
  });
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-post]");
  if (button && button.type === "button") {
    once(button, () => post(button.dataset.post, JSON.parse(button.dataset.values ?? "{}")));
    return;
  }
  const language = event.target.closest("button[data-language]");
  if (language) {
    once(language, () => post("/language", { language: language.dataset.language }));
    return;
  }
  if (event.target.id === "use-here") {
    stream.takeOver();
  }
});

// The device is told that somebody is there: it signs out who is not.
const TOUCH_MS = 15000;
let touchedAt = -Infinity;

function touched() {
  if (performance.now() - touchedAt < TOUCH_MS) return;
  touchedAt = performance.now();
  stream.say({ touched: document.documentElement.dataset.flow ?? "" });
}

for (const kind of ["pointerdown", "keydown", "input", "scroll"]) {
  document.addEventListener(kind, touched, { capture: true, passive: true });
}

// The header: how the device is, and how much waits to be delivered.
const device = document.getElementById("device");

stream.onState((state) => {
  document.getElementById("other-page").hidden = state.controls;
  document.getElementById("main").inert = !state.controls; // and before the first word of the device
  document.getElementById("languages").inert = false;
  document.documentElement.dataset.ready = "true";
  const { operator, visit } = document.documentElement.dataset;
  document.getElementById("ends").hidden = !state.ends || !(operator || Number(visit));
  if (device && state.problems !== undefined) {
    const words = [state.problems.length ? device.dataset.attention : device.dataset.ready];
    if (state.pending) words.push(device.dataset.pending.replace("{count}", state.pending));
    device.querySelector(".words").textContent = words.join(" · ");
    device.dataset.state = state.problems.length ? "attention" : "ready";
  }
});
stream.onLine((up) => {
  document.getElementById("offline").hidden = up;
});
import("./hints.js");
