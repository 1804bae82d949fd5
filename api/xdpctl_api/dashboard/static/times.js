// SPDX-License-Identifier: GPL-2.0-or-later
// Times of day: local, or in UTC where somebody asks for it.

const KEPT = "utc"; // in this browser
const box = document.getElementById("utc");
const two = (number) => String(number).padStart(2, "0");

const inUtc = () => localStorage.getItem(KEPT) === "yes";

function parts(unix) {
  const at = new Date(unix * 1000);
  const shown = inUtc() ? at : new Date(at - at.getTimezoneOffset() * 60_000);
  return shown.toISOString();
}

/** The time of day: `08:19:42`. */
export const clock = (unix) => parts(unix).slice(11, 19);

/** The date: `2026-11-30`. */
export const date = (unix) => parts(unix).slice(0, 10);

/** The date and the time of day: `2026-11-30 08:19:42`. */
export const day = (unix) => parts(unix).slice(0, 19).replace("T", " ");

/** An element that shows a Unix time as the page's other times. */
export function time(unix) {
  const made = document.createElement("time");
  made.dateTime = `${new Date(unix * 1000).toISOString().slice(0, 19)}Z`;
  write(made);
  return made;
}

function write(each) {
  each.textContent = day(Date.parse(each.dateTime) / 1000) + (inUtc() ? " UTC" : "");
  const ahead = -new Date(each.dateTime).getTimezoneOffset();
  const zone = `UTC${ahead < 0 ? "-" : "+"}${two(Math.floor(Math.abs(ahead) / 60))}:${two(Math.abs(ahead) % 60)}`;
  each.title = inUtc() ? "" : `local time, ${zone}`;
}

function show() {
  document.querySelectorAll("time[datetime]").forEach(write);
  document.dispatchEvent(new CustomEvent("zone"));
}

if (box) {
  box.checked = inUtc();
  box.closest("[hidden]").hidden = false;
  box.addEventListener("change", () => {
    localStorage.setItem(KEPT, box.checked ? "yes" : "no");
    show();
  });
  show();
}
