// The wait until another code may be asked for, counted down. Nothing is sent when it ends: a person asks.

import "./page.js";

const wait = document.getElementById("wait");
const resend = document.getElementById("resend");
const until = performance.now() + Number(wait.dataset.wait) * 1000;

function minutes(seconds) {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function draw() {
  const left = Math.ceil((until - performance.now()) / 1000);
  if (left > 0) {
    wait.textContent = wait.dataset.text.replace("#", minutes(left));
    setTimeout(draw, 1000);
    return;
  }
  wait.textContent = wait.dataset.now;
  resend.disabled = false;
}

if (resend.disabled) draw();
