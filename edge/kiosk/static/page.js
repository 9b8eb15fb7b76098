// A page without a session: it goes where the session is, follows the language, does not stay behind a step that
// was under way when it was loaded, and shows nothing of a visit that is over, or for an operator who has left.

import { isPosting, stream } from "./kiosk.js";
import "./pads.js";
import { translate } from "./translate.js";

const { flow, operator, waits } = document.documentElement.dataset;
const visit = Number(document.documentElement.dataset.visit ?? 0); // 0: nothing of anybody is shown

stream.onState((state) => {
  const left = operator && state.operator !== operator;
  const over = (left || (visit && state[flow]?.visit !== visit)) && !isPosting();
  const done = waits && !state[flow]?.waits && state.controls;
  if (over || done) {
    window.location.reload();
  } else if (state.language !== document.documentElement.lang) {
    translate();
  } else if (state.busy && state.controls) {
    window.location.assign("/session");
  }
});
