// One page of a contract: its picture in the size that is needed, told to the device once all of it was in view.
// Whether all pages were seen is the device's business.

import { post } from "./kiosk.js";
import "./page.js";
import { prepareSheet, turnWithArrows } from "./sheet.js";

const reader = document.getElementById("reader");
const frame = document.getElementById("frame");
const picture = document.getElementById("picture");
const sheet = document.getElementById("sheet");
const next = document.getElementById("next");
const onward = next.textContent;
const NEAR = 8; // pixels that may be hidden at the end

let loaded = false;
let told = false;

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

turnWithArrows();
prepareSheet({ frame, sheet, picture, widths: reader.dataset.widths.split(" ").map(Number) });
