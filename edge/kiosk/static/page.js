// A page without a session: it goes where the session is, follows the language, does not stay behind a step that
// was under way when it was loaded, and shows nothing of a visit that is over.

import { isPosting, stream } from "./kiosk.js";
import "./pads.js";

const language = document.documentElement.lang;
const { flow, waits } = document.documentElement.dataset;
const visit = Number(document.documentElement.dataset.visit ?? 0); // 0: nothing of anybody is shown

stream.onState((state) => {
  const over = visit && state[flow]?.visit !== visit && !isPosting();
  const done = waits && !state[flow]?.waits && state.controls;
  if (state.language !== language || over || done) {
    window.location.reload();
  } else if (state.busy && state.controls) {
    window.location.assign("/session");
  }
});
