// SPDX-License-Identifier: GPL-2.0-or-later
// What is on every page: the word, the switches, forms that stay on the page, and countdowns.

import { on } from "./stream.js";
import { lasting } from "./tables.js";
import "./times.js";

const HOLD = 1200; // ms for which a button is held
const CONDITION_EACH = 3000; // ms
const SAID = 30_000; // ms for which it is shown what was done
const WORDS = {
  quiet: ["\u2714", "Quiet"],
  holding: ["\u2714", "Holding"],
  hurting: ["\u2716", "Hurting"],
  unclear: ["?", "Unclear"],
  unknown: ["?", "Not known"],
};
const ICONS = { quiet: "good", holding: "good", hurting: "bad", unclear: "unclear", unknown: "unclear" };
const TITLE = document.title.slice(document.title.indexOf(": ") + 2); // without the word
const UNKNOWN = { state: "unknown", reasons: ["nothing is known from the control plane now"], matches: null };
const FAILED_MOST = 2; // looks, after which the word is not shown any more
const find = (name) => document.getElementById(name);

/** The JSON of the API; an error with its sentence if it refuses. */
export async function ask(path) {
  const answer = await fetch(path, { headers: { accept: "application/json" } });
  if (answer.status === 401) lost("Your session has ended.", "/login");
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.detail ?? answer.statusText);
  return body;
}

function lost(text, where) {
  const banner = find("lost");
  banner.replaceChildren(text);
  if (where) {
    const link = document.createElement("a");
    link.href = `${where}?next=${encodeURIComponent(location.pathname + location.search)}`;
    link.textContent = "Log in again";
    banner.append(" ", link);
  }
  banner.hidden = false;
}

// the word

export function showCondition(found) {
  const [icon, word] = WORDS[found.state];
  for (const place of document.querySelectorAll("[data-condition]")) {
    place.dataset.state = found.state;
    place.querySelector("[data-icon]").textContent = icon;
    place.querySelector("[data-word]").textContent = word;
  }
  document.title = `${icon} ${word}: ${TITLE}`;
  document.querySelector("link[rel=icon]").href = `/static/icon-${ICONS[found.state]}.svg`;
  document.dispatchEvent(new CustomEvent("condition", { detail: found }));
}

let failed = 0;

async function look() {
  if (document.visibilityState !== "visible") return;
  try {
    showCondition(await ask("/v1/condition"));
    failed = 0;
  } catch (error) {
    console.info("the state was not read:", error.message);
    failed += 1;
    if (failed >= FAILED_MOST) showCondition(UNKNOWN);
  }
}

on("figures", ({ bypass, automatic }) => {
  if (!find("bypass-on")) return; // this caller may change nothing
  find("bypass-on").hidden = bypass;
  find("bypass-off").hidden = !bypass;
  find("automatic-off").hidden = automatic === "off";
  const on = find("automatic-on");
  if (on) on.hidden = automatic !== "off";
});

on("problems", ({ problems }) => {
  const list = find("problems");
  list.hidden = problems.length === 0;
  list.querySelector("ul").replaceChildren(...problems.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
});

on("live", (live) => {
  if (live) {
    find("lost").hidden = true;
    look();
    return;
  }
  lost("Not live: nothing comes from the control plane. The filter does not need it.");
  showCondition(UNKNOWN);
});

// forms

let trial = null; // the timer of the newest trial

function say(text, kind, ...forms) {
  clearTimeout(trial);
  const place = find("said");
  place.className = `banner ${kind}`;
  place.replaceChildren(text, ...forms);
  place.hidden = false;
}

function formOf(action, label, fields) {
  const form = document.createElement("form");
  form.method = "post";
  form.action = `/actions/${action}`;
  form.dataset.act = "";
  for (const [name, value] of Object.entries(fields)) {
    const field = document.createElement("input");
    Object.assign(field, { type: "hidden", name, value });
    form.append(field);
  }
  const button = document.createElement("button");
  button.textContent = label;
  form.append(" ", button);
  return form;
}

async function act(form, button) {
  const body = new URLSearchParams(new FormData(form));
  const buttons = [...form.querySelectorAll("button")];
  for (const each of buttons) each.disabled = true;
  try {
    const answer = await fetch(form.getAttribute("action"), { method: "POST", body, headers: { accept: "application/json" } });
    if (answer.redirected || answer.status === 401) return lost("Your session has ended.", "/login");
    const found = await answer.json();
    if (!answer.ok) return refuse(form, body, found);
    if (found.page || "reload" in form.dataset) return location.assign(found.where);
    form.closest("[data-key]")?.setAttribute("data-acted", "");
    tell(found, body);
    form.closest("details")?.removeAttribute("open");
    document.dispatchEvent(new CustomEvent("acted"));
  } catch (error) {
    say(`Not known whether it was done: ${error.message}. Look at the rules.`, "");
  } finally {
    for (const each of buttons) each.disabled = false;
    if (document.activeElement === document.body) button?.focus();
  }
}

/** Says what was done, with what can be done about it, until a trial has ended. */
function tell(done, body) {
  const forms = [];
  if (done.keep) forms.push(formOf("confirm", "Keep", { id: done.keep }));
  if (done.undo) forms.push(formOf("undo", "Undo", { change: done.undo }));
  say(done.text, "calm", ...forms);
  if (!done.keep) {
    trial = setTimeout(() => { find("said").hidden = true; }, SAID);
    return;
  }
  trial = setTimeout(() => {
    say(`The trial has ended, unless somebody kept it: ${body.get("match")}. `, "", formOf("block", "Once more", Object.fromEntries(body)));
  }, 1000 * done.ends_in);
}

function refuse(form, body, problem) {
  const fix = problem.fix ? ` ${problem.fix}.` : "";
  const again = problem.type?.endsWith(":unconfirmed")
    ? [formOf(form.getAttribute("action").split("/").pop(), "It is meant: do it", { ...Object.fromEntries(body), force: "true" })]
    : [];
  say(`Not done: ${problem.detail}.${fix}`, "", ...again);
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!("act" in form.dataset)) return;
  event.preventDefault();
  if (event.submitter && "hold" in event.submitter.dataset) {
    if (!("wasHeld" in event.submitter.dataset)) say("Hold the button until it is filled.", "");
    return;
  }
  act(form, event.submitter);
});

function hold(button) {
  let timer = null;
  const begin = () => {
    if (timer) return;
    delete button.dataset.wasHeld;
    button.classList.add("holding");
    timer = setTimeout(() => {
      end();
      button.dataset.wasHeld = ""; // the click that follows does nothing
      act(button.form, button);
    }, HOLD);
  };
  const end = () => {
    clearTimeout(timer);
    timer = null;
    button.classList.remove("holding");
  };
  button.addEventListener("pointerdown", begin);
  for (const name of ["pointerup", "pointerleave", "pointercancel", "blur", "keyup"]) button.addEventListener(name, end);
  button.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") begin();
  });
}

for (const button of document.querySelectorAll("button[data-hold]")) {
  button.textContent += " (hold)";
  const sure = button.form.querySelector("[name=sure]");
  if (sure) {
    sure.checked = true;
    sure.closest("label").hidden = true;
  }
  hold(button);
}

// countdowns

const begun = performance.now();
setInterval(() => {
  const passed = (performance.now() - begun) / 1000;
  for (const cell of document.querySelectorAll("[data-ends-in]")) {
    cell.textContent = lasting(Number(cell.dataset.endsIn) - passed);
  }
}, 1000);

if (document.querySelector("[data-condition]")) {
  setInterval(look, CONDITION_EACH);
  document.addEventListener("acted", () => setTimeout(look, 1000));
}
