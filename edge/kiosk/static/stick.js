// A transfer to or from a stick: the count as it grows, and the report once it has ended.

import { stream } from "./kiosk.js";
import "./page.js";

const transfer = document.getElementById("transfer");
const count = document.getElementById("count");

stream.onState((state) => {
  const now = state.stick ?? null;
  if (transfer.dataset.running !== "yes") return;
  if (now === null || !now.running) {
    transfer.dataset.running = "ended";
    window.location.reload();
  } else if (count) {
    count.textContent = count.dataset.text.replace("#", now.count);
  }
});
