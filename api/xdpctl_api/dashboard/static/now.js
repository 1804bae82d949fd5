// SPDX-License-Identifier: GPL-2.0-or-later
// The page Now: figures and the plot of each second, what needs somebody, rules at work, lists.

import { ask } from "./page.js";
import { draw, mark, spark, update } from "./plot.js";
import { on } from "./stream.js";
import { prefixed, show, si } from "./tables.js";
import { time as when } from "./times.js";

const SECONDS = 600; // that are kept of each second
const MINUTE = 60;
const STEP = 5; // seconds: a clock that is so much behind was set back
const EACH = 2000; // ms between looks at lists
const [AT_WORK, WAIT] = [12, 50]; // rules that are shown
const UNITS = { packets: ["pass_packets", "drop_packets"], bits: ["pass_bits", "drop_bits"] };
const SPARKS = { newcomers: "--good", pass_packets: "--pass", drop_packets: "--drop" };
const NAMES = [...Object.values(UNITS).flat(), "newcomers"];
const find = (name) => document.getElementById(name);
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`)?.value;
const sparks = new Map();
let recent = { times: [], values: {}, low: {}, high: {} }; // of each second, by the figure's name
let known = true; // whether anything is known of the traffic now
let longer = null; // the same of an hour or more, if somebody asks for it

function forget() {
  recent.times = [];
  for (const kind of ["values", "low", "high"]) recent[kind] = Object.fromEntries(NAMES.map((name) => [name, []]));
}
forget();

// figures over time

async function read(seconds) {
  const found = await ask(`/v1/series?names=${NAMES}&since=${seconds}s&points=${SECONDS + 1}&usual=true`);
  const since = Date.parse(found.since) / 1000;
  const of = (kind) => Object.fromEntries(NAMES.map((name) => [name, found.figures[name][kind]]));
  const values = of("averages");
  const times = values[NAMES[0]].map((_, place) => since + place * found.seconds);
  return { times, values, low: of("usual_low"), high: of("usual_high") };
}

/** What uPlot draws of a figure, with its usual range before it. */
const of = (record, name) => [record.low[name], record.high[name], record.values[name]];

function data() {
  const record = longer ?? recent;
  const [passed, dropped] = UNITS[chosen("unit")];
  return [record.times, ...of(record, passed), record.values[dropped]];
}

function redraw() {
  update(data());
  for (const [name, plot] of sparks) plot.setData([recent.times, ...of(recent, name)]);
  find("band").hidden = !data()[1].some((value) => value !== null);
}

function drawAll() {
  draw(data(), chosen("unit"));
  for (const [name, colour] of Object.entries(SPARKS)) {
    sparks.get(name)?.destroy();
    sparks.set(name, spark(find(`spark-${name}`), [recent.times, ...of(recent, name)], colour));
  }
  redraw();
}

async function history() {
  recent = await read(SECONDS);
  const known = recent.values[NAMES[0]].findLastIndex((value) => value !== null);
  if (known >= 0) figures(Object.fromEntries(NAMES.map((name) => [name, recent.values[name][known]])));
  redraw();
}

async function lookBack() {
  const seconds = Number(chosen("span"));
  const found = seconds > SECONDS ? await read(seconds) : null;
  if (seconds === Number(chosen("span"))) longer = found; // else something else was chosen since
}

const quietly = (task) => task.catch((error) => console.info("not read:", error.message));

function figures(now) {
  for (const name of UNITS.packets) find(name).textContent = si(now[name]);
  for (const name of UNITS.bits) find(name).textContent = prefixed(now[name]);
  const lately = recent.values.newcomers.slice(-20).filter((value) => value !== null);
  const newcomers = lately.length ? MINUTE * lately.reduce((sum, value) => sum + value, 0) / lately.length : null;
  find("newcomers").textContent = newcomers === null ? "?" : Math.round(newcomers);
  for (const name of Object.keys(SPARKS)) usually(name, name === "newcomers" ? MINUTE : 1, newcomers);
  document.body.dataset.live = "yes";
}

function usually(name, times, newcomers) {
  const last = (kind) => recent[kind][name].findLast((value) => value !== null);
  const place = find(`usual-${name}`);
  if (last("low") === undefined) {
    place.textContent = "usual: not known yet";
    return;
  }
  const few = name === "newcomers" && newcomers !== null && newcomers < times * last("low") / 2;
  const [low, high] = ["low", "high"].map((kind) => si(Math.round(times * last(kind))));
  place.textContent = `${few ? "\u25bc " : ""}usually ${low === high ? low : `${low} to ${high}`}`;
  place.classList.toggle("level-problem", few);
}

function add(second, found) {
  recent.times.push(second);
  for (const name of NAMES) {
    recent.values[name].push(found[name] ?? null);
    for (const kind of ["low", "high"]) recent[kind][name].push(recent[kind][name].at(-1) ?? null);
  }
}

on("figures", ({ time, figures: found }) => {
  const second = Math.floor(time);
  const last = recent.times.at(-1);
  if (last !== undefined && second < last - STEP) forget(); // the clock of the box was set back
  else if (last !== undefined && second <= last) return;
  if (last !== undefined && second - last > 3) add(last + 1, {}); // a gap, and not a line across it
  add(second, found);
  while (recent.times[0] < second - SECONDS) {
    recent.times.shift();
    for (const kind of ["values", "low", "high"]) for (const name of NAMES) recent[kind][name].shift();
  }
  figures(found);
  redraw();
});

// what needs somebody, and rules

/** Shows values in a list or table, which is hidden while there are none. */
function showIn(body, template, values, key) {
  show(body, find(template), values, key);
  const around = body.closest("ul")?.parentElement ?? body.closest(".scroll");
  around.hidden = body.children.length === 0;
  const needs = [...document.querySelectorAll(".needs > div, .needs > .card")];
  find("nothing").hidden = needs.some((part) => !part.hidden);
  find("nothing").textContent = known ? "Nothing now." : "Not known.";
}

/** In how many seconds a rule ends if nobody confirms it; null: never. */
function soonest(rule) {
  const ends = [rule.confirm_in, rule.expires_in].filter((seconds) => seconds !== null);
  return ends.length ? Math.min(...ends) : null;
}

const row = (rule) => ({
  ...rule,
  left: soonest(rule),
  does: rule.mode === "monitor" ? `${rule.action}, monitor` : rule.action,
  whom: rule.collateral?.text ?? "not measured",
});

async function rules() {
  const found = (await ask("/v1/rules?sort=rate&limit=200")).rules.map(row);
  const atWork = found.filter((rule) => rule.rate !== 0).slice(0, AT_WORK);
  showIn(find("rules"), "row-rule", atWork, "id");
  find("no-rules").hidden = find("rules").children.length > 0;
  showIn(find("hits"), "card-hit", found.filter((rule) => rule.collateral?.hurts), "id");
}

async function waits() {
  const found = await ask(`/v1/rules?provisional=true&limit=${WAIT}`);
  showIn(find("waits"), "card-wait", found.rules.map(row), "id");
  find("more-waits").hidden = !found.next;
  const card = find("proposed");
  if (!card) return;
  const proposed = (await ask("/v1/upstream")).announcements.filter((each) => each.state === "proposed");
  card.hidden = proposed.length === 0;
  card.querySelector("[data-f]").textContent = proposed.length;
}

document.addEventListener("condition", ({ detail }) => {
  const reasons = detail.reasons.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  });
  find("reasons").replaceChildren(...reasons);
  find("unusual").textContent = detail.before_seconds === 0 ? "What passes most: there is nothing earlier to compare with" : "Unusual among what passes";
  known = detail.matches !== null;
  showIn(find("matches"), "card-match", detail.matches ?? [], "match");
});

async function incidents() {
  const found = (await ask("/v1/incidents?limit=50")).incidents;
  mark(found.map((each) => ({ at: each.opened_at, name: `${each.attacks[0] ?? "attack"} on ${each.subject}`.replaceAll("_", " ") })));
  const open = found.find((each) => each.open);
  find("since").hidden = !open;
  if (!open) return;
  const link = document.createElement("a");
  link.href = `/incidents/${encodeURIComponent(open.id)}`;
  link.textContent = "Incident";
  find("since").replaceChildren(link, " since ", when(open.opened_at));
}

// lists

async function served() {
  const found = await ask("/v1/served?limit=8");
  const rows = found.services.map((each) => ({ ...each, service: `${each.address} ${each.protocol} ${each.port}` }));
  show(find("services"), find("row-service"), rows, "service");
  find("serving").hidden = rows.length === 0;
}

let asked = 0;

async function tops() {
  const lists = [...document.querySelectorAll("[data-top]")];
  if (!lists.length || !find("lists").open) return; // nothing could be asked when the page was made
  const by = lists.map((list) => list.dataset.top).join();
  const where = find("where").value.trim();
  const only = where ? `&where=${encodeURIComponent(where)}` : "";
  asked += 1;
  const mine = asked;
  const found = await ask(`/v1/top?by=${by}&verdict=${chosen("verdict")}&window=4s&limit=6${only}`);
  if (mine !== asked) return; // another list was asked for since
  find("missing").hidden = found.missing === 0;
  find("missing").textContent = `${si(found.missing)} packets are missing in these lists: there was no room for them.`;
  for (const { by: name, rows } of found.dimensions) {
    const body = lists.find((list) => list.dataset.top === name);
    show(body, find(body.dataset.row), rows, "value");
    body.closest("section").querySelector(".empty").hidden = rows.length > 0;
  }
}

async function only() {
  const note = find("where-note");
  try {
    await tops();
    note.hidden = true;
  } catch (error) {
    note.textContent = `The lists stay as they were: ${error.message}`;
    note.hidden = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-only]");
  if (!button) return;
  find("where").value = button.value;
  only();
});

// what happens when

async function look() {
  if (document.visibilityState !== "visible") return;
  for (const part of [rules, waits, served, tops]) await quietly(part());
}

async function again() {
  await quietly(history());
  await quietly(incidents());
  if (longer) await quietly(lookBack());
  redraw();
}

async function begin() {
  drawAll();
  await Promise.all([history(), incidents(), look()].map(quietly));
  setInterval(look, EACH);
  setInterval(again, MINUTE * 1000);
}

async function choosePast() {
  try {
    await lookBack();
  } catch (error) {
    longer = null;
    document.querySelector(`input[name=span][value="${SECONDS}"]`).checked = true;
    find("plot-at").textContent = `The plot stays as it was: ${error.message}`;
  }
}

async function choose({ target: { name } }) {
  if (["verdict", "where"].includes(name)) await only();
  if (name === "span") await choosePast();
  if (["span", "unit"].includes(name)) drawAll();
}

on("incident", () => quietly(incidents()));
on("missed", again);
on("live", (live) => live && again());
document.addEventListener("acted", () => setTimeout(look, 50));
document.addEventListener("change", choose);
document.addEventListener("zone", drawAll);
find("lists").addEventListener("toggle", () => quietly(tops()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
begin();

/** The packets/s that passed in each second. */
export const shown = () => recent.values.pass_packets;
