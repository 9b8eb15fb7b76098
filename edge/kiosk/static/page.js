// A page without a session: it goes where the session is, follows the language, and does not stay behind a step
// that was under way when it was loaded.

import { stream } from "./kiosk.js";
import "./pads.js";

const language = document.documentElement.lang;
const waits = document.documentElement.dataset.waits;

stream.onState((state) => {
  if (state.language !== language || (waits && !state[waits] && state.controls)) {
    window.location.reload();
  } else if (state.busy && state.controls) {
    window.location.assign("/session");
  }
});
