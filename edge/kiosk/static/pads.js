// The digits of a PIN, and the box to sign in. Both work with finger, pen, mouse and keyboard.

const MAX_STROKES = 200;
const MAX_POINTS = 4000;
const HIGH_PAD = 500; // units to the 900 across, where the screen is narrow and a hand needs height
const NARROW = "(max-width: 46rem)";

export function preparePads(root) {
  for (const pad of root.querySelectorAll("[data-pad]")) preparePinPad(pad);
  for (const form of root.querySelectorAll("form[data-signature]")) prepareSignature(form);
}

function preparePinPad(pad) {
  const input = pad.closest("form").elements[pad.dataset.pad];
  input.form.addEventListener("answered", (event) => {
    if (!event.detail.error) return;
    input.value = ""; // a PIN that was wrong is typed anew
    input.focus();
  });
  pad.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.digit) input.value += button.dataset.digit;
    else if (button?.hasAttribute("data-erase")) input.value = input.value.slice(0, -1);
  });
}

function prepareSignature(form) {
  const canvas = form.querySelector("canvas");
  if (window.matchMedia(NARROW).matches) canvas.height = HIGH_PAD; // kept when the screen is turned
  const context = canvas.getContext("2d");
  let strokes = [];
  let current = null;
  let began = 0;

  function clear() {
    strokes = [];
    current = null;
    context.clearRect(0, 0, canvas.width, canvas.height);
  }

  function point(event) {
    const box = canvas.getBoundingClientRect();
    const x = Math.round(((event.clientX - box.left) / box.width) * canvas.width);
    const y = Math.round(((event.clientY - box.top) / box.height) * canvas.height);
    return [
      Math.min(canvas.width, Math.max(0, x)),
      Math.min(canvas.height, Math.max(0, y)),
      Math.min(600000, Math.max(0, Math.round(event.timeStamp - began))),
    ];
  }

  function count() {
    return strokes.reduce((sum, stroke) => sum + stroke.length, 0);
  }

  function extend(event) {
    if (count() >= MAX_POINTS) return;
    const next = point(event);
    const last = current.at(-1);
    if (last && last[0] === next[0] && last[1] === next[1]) return;
    current.push(next);
    context.lineWidth = 4;
    context.lineCap = "round";
    context.lineJoin = "round";
    context.strokeStyle = "#12263f";
    context.beginPath();
    context.moveTo(...(last ?? next).slice(0, 2));
    context.lineTo(next[0], next[1]);
    context.stroke();
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (strokes.length >= MAX_STROKES) return;
    canvas.setPointerCapture(event.pointerId);
    if (!strokes.length) began = event.timeStamp;
    current = [];
    strokes.push(current);
    form.dispatchEvent(new Event("input", { bubbles: true }));
    extend(event);
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!current) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) extend(part);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, () => {
      current = null;
    });
  }
  form.querySelector("#sign-clear").addEventListener("click", clear);
  form.strokes = () => ({ width: canvas.width, height: canvas.height, strokes });
}

preparePads(document);
