// A document before the camera: the picture as it comes, not mirrored, for print has to be read; what is amiss.

import { post, stream } from "./kiosk.js";
import "./page.js";

const canvas = document.getElementById("document");
const context = canvas.getContext("2d");
const lost = document.getElementById("lost");
const reopen = document.getElementById("reopen");

function words(code) {
  return lost.dataset[code.toLowerCase().replace(/_(.)/g, (_, letter) => letter.toUpperCase())] ?? code;
}

async function open() {
  reopen.hidden = true;
  const answer = await post("/certifications/camera");
  reopen.hidden = !answer.error;
}

stream.onState((state) => {
  const code = state.document_camera ?? "";
  const text = code ? words(code) : "";
  if (lost.textContent !== text) lost.textContent = text;
  document.body.dataset.camera = code || "open";
});

stream.onFrame(async (jpeg) => {
  const bitmap = await createImageBitmap(jpeg);
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
  }
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  canvas.dataset.frames = String(Number(canvas.dataset.frames ?? 0) + 1);
});

reopen.addEventListener("click", open);
open();
