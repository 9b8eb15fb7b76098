// One page of a contract: its picture in the size that is needed, told to the device once all of it was in view.
// Whether all pages were seen is the device's business.

import { post, showAlert } from "./kiosk.js";
import "./page.js";

const reader = document.getElementById("reader");
const frame = document.getElementById("frame");
const picture = document.getElementById("picture");
const sheet = document.getElementById("sheet");
const next = document.getElementById("next");
const widths = reader.dataset.widths.split(" ").map(Number);
const onward = next.textContent;
const ZOOMS = [1, 1.4, 2, 2.8];
const KEPT = "verifield-zoom";
const NEAR = 8; // pixels that may be hidden at the end

const READABLE = 560; // pixels across, below which the letters of a contract are too small

let zoom = Math.min(Number(window.sessionStorage.getItem(KEPT) ?? readable()), ZOOMS.length - 1);
let loaded = false;
let told = false;

// The smallest picture that is sharp at this size, or the largest there is.
function widthFor(pixels) {
  return widths.find((width) => width >= pixels) ?? widths[widths.length - 1];
}

function readable() {
  const found = ZOOMS.findIndex((factor) => factor * frame.clientWidth >= READABLE);
  return found < 0 ? ZOOMS.length - 1 : found;
}

function show() {
  sheet.style.width = `${ZOOMS[zoom] * 100}%`;
  document.getElementById("smaller").disabled = zoom === 0;
  document.getElementById("larger").disabled = zoom === ZOOMS.length - 1;
  const address = `${picture.dataset.src}?w=${widthFor(sheet.clientWidth * window.devicePixelRatio)}`;
  if (picture.getAttribute("src") !== address) picture.src = address;
}

function change(by) {
  zoom = Math.max(0, Math.min(ZOOMS.length - 1, zoom + by));
  window.sessionStorage.setItem(KEPT, String(zoom));
  show();
}

function atEnd() {
  return frame.scrollTop + frame.clientHeight >= frame.scrollHeight - NEAR;
}

// The button leads down the page first, and to the next one from its end.
async function look() {
  if (!loaded) return;
  next.textContent = told || atEnd() ? onward : reader.dataset.down;
  if (told || !atEnd()) return;
  told = true;
  const answer = await post(`/contracts/${reader.dataset.task}/seen`, { page: Number(reader.dataset.page) });
  told = !answer.error;
  if (told) reader.dataset.seen = "yes";
}

picture.addEventListener("load", () => {
  loaded = true;
  look();
});

picture.addEventListener("error", async () => {
  // It is asked for once more, so that the device can say why there is no picture.
  const response = await fetch(picture.src, { headers: { Accept: "application/json" } });
  if (!response.ok) showAlert((await response.json()).error);
});

frame.addEventListener("scroll", look);
window.addEventListener("resize", look);

next.addEventListener("click", (event) => {
  if (loaded && !told && !atEnd()) {
    event.preventDefault();
    frame.scrollBy({ top: frame.clientHeight * 0.85 });
  } else if (loaded && !reader.dataset.seen) {
    event.preventDefault(); // the device has not answered yet
    look();
  }
});

document.getElementById("smaller").addEventListener("click", () => change(-1));
document.getElementById("larger").addEventListener("click", () => change(1));

// Arrow keys turn the page, except where they already do something: in a field, or in a frame that scrolls.
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, button, .sheet-frame")) return;
  const link = document.getElementById({ ArrowRight: "next", ArrowLeft: "previous" }[event.key] ?? "");
  if (link) {
    event.preventDefault();
    link.click();
  }
});

show();
