// The marks on one page of a draft: dragged, or moved with arrows and by a tap. The device decides where each
// stands and answers with all of them; what it refuses goes back to where it was.

import { post } from "./kiosk.js";
import "./page.js";
import { prepareSheet, turnWithArrows } from "./sheet.js";

const desk = document.getElementById("desk");
const frame = document.getElementById("frame");
const sheet = document.getElementById("sheet");
const picture = document.getElementById("picture");
const chosenBox = document.getElementById("chosen");
const chosenName = document.getElementById("chosen-name");
const saidBox = document.getElementById("said");
const undo = document.getElementById("undo");
const page = Number(desk.dataset.page);
const SLIP = 5; // pixels that a finger may move in a tap
const EDGE = 40; // pixels from the frame's edge, where a mark that is dragged takes the page along
const PULL = 14;

const drawn = new Map(); // of marks, by number
let board = JSON.parse(desk.dataset.board);
let chosen = 0;
let line = Promise.resolve();

// Changes reach the device one after the other, in the order in which they were made.
function change(values) {
  line = line.then(async () => {
    const answer = await post("/prepare/marks", { page, ...values });
    if (answer.board) {
      if (values.do === "add") chosen = answer.board.newest;
      board = answer.board;
      saidBox.textContent = "";
      saidBox.textContent = answer.said;
    }
    draw();
    if (values.do === "add" && answer.board) drawn.get(chosen)?.focus();
    desk.dataset.changes = String(Number(desk.dataset.changes ?? 0) + 1);
  });
  return line;
}

function draw() {
  const here = new Set();
  for (const mark of board.marks) {
    here.add(mark.number);
    const element = drawn.get(mark.number) ?? lay(mark);
    setBox(element, mark);
    element.dataset.party = String(((mark.party - 1) % 6) + 1);
    element.dataset.kind = mark.kind;
    element.querySelector(".place-name").textContent = mark.name;
    element.setAttribute("aria-label", `${mark.name}, ${mark.where}`);
    element.setAttribute("aria-pressed", String(mark.number === chosen));
  }
  for (const [number, element] of drawn) {
    if (here.has(number)) continue;
    const focused = element === document.activeElement;
    element.remove();
    drawn.delete(number);
    if (focused) frame.focus();
  }
  const mark = board.marks.find((one) => one.number === chosen);
  chosenBox.hidden = !mark;
  if (mark) chosenName.textContent = `${mark.name}: ${mark.where}`;
  undo.disabled = !board.undo;
  for (const count of document.querySelectorAll("[data-count]")) {
    count.textContent = board.counts[count.dataset.count] ?? 0;
  }
}

function setBox(element, box) {
  for (const side of ["left", "top", "width", "height"]) element.style[side] = `${100 * box[side]}%`;
}

function lay(mark) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "place";
  element.dataset.mark = String(mark.number);
  element.setAttribute("aria-describedby", "keys");
  const name = document.createElement("span");
  name.className = "place-name";
  const grip = document.createElement("span");
  grip.className = "grip";
  element.append(name, grip);
  sheet.append(element);
  drawn.set(mark.number, element);
  element.addEventListener("click", () => choose(mark.number));
  element.addEventListener("focus", () => choose(mark.number));
  element.addEventListener("keydown", (event) => onKey(event, mark.number));
  element.addEventListener("pointerdown", (event) => {
    choose(mark.number);
    if (event.target === grip) stretch(event, element, mark.number);
    else carry(event, element, mark.number);
  });
  return element;
}

function choose(number) {
  if (chosen === number) return;
  chosen = number;
  draw();
}

// Where a pointer is, as shares of the page.
function share(event) {
  const box = sheet.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

function pull(event) {
  const box = frame.getBoundingClientRect();
  if (event.clientY > box.bottom - EDGE) frame.scrollTop += PULL;
  else if (event.clientY < box.top + EDGE) frame.scrollTop -= PULL;
}

// Follows one pointer from where it is pressed: onMove once it is no tap any more, onEnd(event, moved) at the end,
// onCancel where the browser takes the pointer away.
function follow(start, element, onMove, onEnd, onCancel = draw) {
  if (start.button !== 0) return;
  element.setPointerCapture(start.pointerId);
  let moved = false;
  const watch = new AbortController();
  const listen = (name, listener) => element.addEventListener(name, listener, { signal: watch.signal });
  listen("pointermove", (event) => {
    moved ||= Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) > SLIP;
    if (moved) onMove(event);
  });
  listen("pointerup", (event) => {
    watch.abort();
    onEnd(event, moved);
  });
  listen("pointercancel", () => {
    watch.abort();
    onCancel();
  });
}

function carry(start, element, number) {
  const [x, y] = share(start);
  const mark = board.marks.find((one) => one.number === number);
  const grabbed = [x - mark.left, y - mark.top];
  const corner = (event) => share(event).map((value, side) => value - grabbed[side]);
  follow(
    start,
    element,
    (event) => {
      const [left, top] = corner(event);
      element.classList.add("carried");
      setBox(element, { ...mark, left, top });
      pull(event);
    },
    (event, moved) => {
      element.classList.remove("carried");
      if (!moved) return;
      const [left, top] = corner(event);
      change({ do: "move", mark: number, x: left, y: top });
    },
  );
}

function stretch(start, element, number) {
  const mark = board.marks.find((one) => one.number === number);
  const size = (event) => {
    const [x, y] = share(event);
    return { width: Math.max(0.005, x - mark.left), height: Math.max(0.005, y - mark.top) };
  };
  follow(
    start,
    element,
    (event) => setBox(element, { ...mark, ...size(event) }),
    (event, moved) => {
      if (moved) change({ do: "resize", mark: number, ...size(event) });
    },
  );
}

// New marks: dragged from the list onto the page, or laid at a free place by pressing.
for (const source of document.querySelectorAll("[data-add]")) {
  const values = { do: "add", party: Number(source.dataset.party), kind: source.dataset.add };
  let dragged = false;
  source.addEventListener("pointerdown", (start) => {
    dragged = false;
    let ghost = null;
    follow(
      start,
      source,
      (event) => {
        if (!ghost) {
          ghost = document.createElement("span");
          ghost.className = "place ghost";
          ghost.textContent = source.textContent;
          document.body.append(ghost);
        }
        ghost.style.left = `${event.clientX}px`;
        ghost.style.top = `${event.clientY}px`;
        pull(event);
      },
      (event, moved) => {
        ghost?.remove();
        dragged = moved;
        const [x, y] = share(event);
        const seen = frame.getBoundingClientRect();
        const over = event.clientY >= seen.top && event.clientY <= seen.bottom;
        if (moved && over && x >= 0 && x <= 1 && y >= 0 && y <= 1) change({ ...values, x, y });
      },
      () => ghost?.remove(),
    );
  });
  source.addEventListener("click", () => {
    if (!dragged) change(values);
    dragged = false;
  });
}

// A tap on the page takes the chosen mark there.
picture.addEventListener("click", (event) => {
  if (!chosen || !drawn.has(chosen)) return;
  const [x, y] = share(event);
  change({ do: "centre", mark: chosen, x, y });
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKey(event, number) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const arrow = ARROWS[event.key];
  if (arrow) change({ do: "nudge", mark: number, across: arrow[0], down: arrow[1], fine: event.shiftKey });
  else if (event.key === "+" || event.key === "-") change({ do: "grow", mark: number, by: event.key === "+" ? 1 : -1 });
  else if (event.key === "Delete" || event.key === "Backspace") change({ do: "remove", mark: number });
  else return;
  event.preventDefault();
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.target.closest("input")) return;
  event.preventDefault();
  if (board.undo) change({ do: "undo" });
});

for (const button of chosenBox.querySelectorAll("[data-nudge]")) {
  const [across, down] = button.dataset.nudge.split(" ").map(Number);
  button.addEventListener("click", () => change({ do: "nudge", mark: chosen, across, down }));
}
for (const button of chosenBox.querySelectorAll("[data-grow]")) {
  button.addEventListener("click", () => change({ do: "grow", mark: chosen, by: Number(button.dataset.grow) }));
}
document.getElementById("remove").addEventListener("click", () => {
  change({ do: "remove", mark: chosen });
  frame.focus();
});
undo.addEventListener("click", () => change({ do: "undo" }));

turnWithArrows();
prepareSheet({ frame, sheet, picture, widths: desk.dataset.widths.split(" ").map(Number) });
draw();
