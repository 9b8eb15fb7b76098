// Battery and line at the top of the page: always on a portable device, elsewhere when they need a hand.

import { stream } from "./kiosk.js";

const hints = document.getElementById("hints");

function ago(minutes, language) {
  const words = new Intl.RelativeTimeFormat(language, { numeric: "always" });
  if (minutes < 60) return words.format(-minutes, "minute");
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? words.format(-hours, "hour") : words.format(-Math.floor(hours / 24), "day");
}

function say(element, text, care) {
  element.textContent = text;
  element.hidden = !text;
  element.dataset.care = care ? "yes" : "no";
}

if (hints) {
  const capital = (word) => word[0] + word.slice(1).toLowerCase();
  stream.onState((state) => {
    const { battery, line } = state;
    if (line === undefined) return;
    const always = hints.dataset.always === "yes";
    const low = battery !== null && ["LOW", "EMPTY"].includes(battery.state);
    const stale = ["STALE", "NEVER"].includes(line.state);
    let text = "";
    if (battery !== null && (always || low)) {
      text = `${hints.dataset.battery.replace("#", battery.percent)}, ${hints.dataset[`battery${capital(battery.state)}`]}`;
    }
    say(document.getElementById("battery"), text, low);
    const words = hints.dataset[`line${capital(line.state)}`];
    const since = line.minutes === null ? "" : ago(line.minutes, hints.lang);
    say(document.getElementById("line"), always || stale ? words.replace("#", since) : "", stale);
    hints.hidden = !always && !low && !stale;
  });
}
