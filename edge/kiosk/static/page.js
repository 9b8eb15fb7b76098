// A page without a session: it goes where the session is, and follows the language.

import { stream } from "./kiosk.js";
import "./pads.js";

const language = document.documentElement.lang;

stream.onState((state) => {
  if (state.language !== language) {
    window.location.reload();
  } else if (state.busy && state.controls) {
    window.location.assign("/session");
  }
});
