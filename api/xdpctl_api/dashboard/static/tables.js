// SPDX-License-Identifier: GPL-2.0-or-later
// Rows of tables, made from the page's own <template> elements and filled with text alone.

const UNITS = ["", " k", " M", " G", " T", " P"];

/** A number with three digits and an SI prefix, as the host writes it. */
export function si(number) {
  if (number === null || number === undefined) return "?";
  let value = Number(number.toPrecision(3));
  let place = 0;
  while (Math.abs(value) >= 1000 && place < UNITS.length - 1) {
    value /= 1000;
    place += 1;
  }
  return Number(value.toPrecision(3)) + UNITS[place];
}

/** The same as the beginning of a unit: `711 M`, and `0 ` with a space. */
export function prefixed(number) {
  const text = si(number);
  return text.includes(" ") ? text : `${text} `;
}

/** Seconds as `1h 5m` or `42s`. */
export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const whole = Math.max(0, Math.round(seconds));
  const parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"], [Math.floor(whole / 60) % 60, "m"], [whole % 60, "s"]];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0s";
  return parts.slice(first, first + 2).filter(([count]) => count > 0).map(([count, unit]) => count + unit).join(" ");
}

/** A wait as GET /v1/served has it; the longest one stands for all longer than a quarter of it. */
function wait(seconds) {
  if (seconds === null || seconds === undefined) return "?";
  if (seconds >= 17) return `> ${si(seconds / 4)} s`;
  return seconds < 1 ? `${(1000 * seconds).toFixed(0)} ms` : `${si(seconds)} s`;
}

const FORMATS = {
  si,
  wait,
  ends: (seconds) => (seconds === null ? "never" : lasting(seconds)),
  text: (value) => String(value ?? ""),
  share: (value) => (value === null || value === undefined ? "not known" : `${(100 * value).toFixed(1)}%`),
};

/** Fills the cells, form fields and meters of a row from an object. */
export function fill(row, values) {
  for (const cell of row.querySelectorAll("[data-f]")) {
    const text = FORMATS[cell.dataset.as ?? "text"](values[cell.dataset.f]);
    if (cell.textContent !== text) cell.textContent = text;
  }
  for (const field of row.querySelectorAll("[data-v]")) field.value = values[field.dataset.v] ?? "";
  for (const link of row.querySelectorAll("[data-h]")) link.href = link.dataset.h + encodeURIComponent(values[link.dataset.of]);
  for (const part of row.querySelectorAll("[data-if]")) part.hidden = !values[part.dataset.if];
  for (const button of row.querySelectorAll("[data-label]")) {
    const text = `${button.dataset.label} ${values[button.dataset.labelOf]}`;
    button.setAttribute("aria-label", text);
    button.title = text;
  }
}

const canPoint = matchMedia("(hover: hover)"); // a finger does not, and the last touch stays "hover"

/** Whether somebody points at a row, or is at one by keyboard: then rows must not move. */
function inUse(body) {
  return (canPoint.matches && body.matches(":hover")) || body.querySelector(":focus-visible") !== null;
}

/**
 * Shows values as the rows of a table's body. While somebody points at it, only the numbers change:
 * new rows come at the end, and none goes or moves.
 */
export function show(body, template, values, key) {
  const rows = new Map([...body.children].map((row) => [row.dataset.key, row]));
  const still = inUse(body) && rows.size > 0;
  const wanted = [];
  for (const value of values) {
    let row = rows.get(String(value[key]));
    if (!row) {
      row = template.content.firstElementChild.cloneNode(true);
      row.dataset.key = value[key];
    }
    fill(row, value);
    wanted.push(row);
  }
  if (!still) body.replaceChildren(...wanted);
  else body.append(...wanted.filter((row) => !row.isConnected)); // below, so that none moves
  for (const row of [...body.children]) {
    const gone = !wanted.includes(row);
    if (gone && "acted" in row.dataset) row.remove(); // whoever did it knows that it goes
    row.classList.toggle("gone", gone);
    for (const button of row.querySelectorAll("button")) button.disabled = gone;
  }
}
