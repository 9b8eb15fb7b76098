// A page of a document on the screen: its picture in the size that is needed, larger and smaller.

import { showAlert } from "./kiosk.js";

const ZOOMS = [1, 1.4, 2, 2.8];
const KEPT = "verifield-zoom";
const READABLE = 560; // pixels across, below which the letters of a contract are too small

// frame scrolls, sheet is the page in it, picture its image with data-src; widths are those that can be had.
export function prepareSheet({ frame, sheet, picture, widths }) {
  const smaller = document.getElementById("smaller");
  const larger = document.getElementById("larger");
  let zoom = Math.min(Number(window.sessionStorage.getItem(KEPT) ?? readable()), ZOOMS.length - 1);

  function readable() {
    const found = ZOOMS.findIndex((factor) => factor * frame.clientWidth >= READABLE);
    return found < 0 ? ZOOMS.length - 1 : found;
  }

  // The smallest picture that is sharp at this size, or the largest there is.
  function widthFor(pixels) {
    return widths.find((width) => width >= pixels) ?? widths[widths.length - 1];
  }

  function show() {
    sheet.style.width = `${ZOOMS[zoom] * 100}%`;
    smaller.disabled = zoom === 0;
    larger.disabled = zoom === ZOOMS.length - 1;
    const address = `${picture.dataset.src}?w=${widthFor(sheet.clientWidth * window.devicePixelRatio)}`;
    if (picture.getAttribute("src") !== address) picture.src = address;
  }

  function change(by) {
    zoom = Math.max(0, Math.min(ZOOMS.length - 1, zoom + by));
    window.sessionStorage.setItem(KEPT, String(zoom));
    show();
  }

  picture.addEventListener("error", async () => {
    // It is asked for once more, so that the device can say why there is no picture.
    const response = await fetch(picture.src, { headers: { Accept: "application/json" } });
    if (!response.ok) showAlert((await response.json()).error);
  });

  smaller.addEventListener("click", () => change(-1));
  larger.addEventListener("click", () => change(1));
  show();
}

// Arrow keys turn the page, except where they already do something: in a field, or in a frame that scrolls.
export function turnWithArrows() {
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, button, .sheet-frame")) return;
    const link = document.getElementById({ ArrowRight: "next", ArrowLeft: "previous" }[event.key] ?? "");
    if (link) {
      event.preventDefault();
      link.click();
    }
  });
}
