// SPDX-License-Identifier: GPL-2.0-or-later
// Figures over time on the page Now: those of each second as they come, and of an hour or more.

import { ask } from "./page.js";
import { draw, spark, update } from "./plot.js";
import { on } from "./stream.js";
import { prefixed, si } from "./tables.js";

const SECONDS = 600; // that are kept of each second
const MINUTE = 60;
const STEP = 5; // seconds: a clock that is so much behind was set back
const UNITS = { packets: ["pass_packets", "drop_packets"], bits: ["pass_bits", "drop_bits"] };
const SPARKS = { newcomers: "--good", pass_packets: "--pass", drop_packets: "--drop" };
const NAMES = [...Object.values(UNITS).flat(), "newcomers"];
const find = (name) => document.getElementById(name);
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`)?.value;
const sparks = new Map();
let recent = { times: [], values: {}, low: {}, high: {} }; // of each second, by the figure's name
let longer = null; // the same of an hour or more, if somebody asks for it

function forget() {
  recent.times = [];
  for (const kind of ["values", "low", "high"]) recent[kind] = Object.fromEntries(NAMES.map((name) => [name, []]));
}
forget();

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

/** Draws everything anew, as after a change of colours. */
export function drawAll() {
  draw(data(), chosen("unit"));
  for (const [name, colour] of Object.entries(SPARKS)) {
    sparks.get(name)?.destroy();
    sparks.set(name, spark(find(`spark-${name}`), [recent.times, ...of(recent, name)], colour));
  }
  redraw();
}

/** Reads the figures of each second anew. */
export async function history() {
  recent = await read(SECONDS);
  const known = recent.values[NAMES[0]].findLastIndex((value) => value !== null);
  if (known >= 0) figures(Object.fromEntries(NAMES.map((name) => [name, recent.values[name][known]])));
  redraw();
}

/** Reads what is longer ago, if somebody has chosen it. */
export async function lookBack() {
  const seconds = Number(chosen("span"));
  const found = seconds > SECONDS ? await read(seconds) : null;
  if (seconds !== Number(chosen("span"))) return; // something else was chosen since
  longer = found;
  redraw();
}

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

/** Reads the chosen time; the plot stays as it was if it cannot be read. */
export async function choosePast() {
  const mine = chosen("span");
  try {
    await lookBack();
  } catch (error) {
    if (mine !== chosen("span")) return; // something else was chosen since
    longer = null;
    document.querySelector(`input[name=span][value="${SECONDS}"]`).checked = true;
    find("plot-at").textContent = `The plot stays as it was: ${error.message}`;
  }
}

/** The packets/s that passed in each second. */
export const shown = () => recent.values.pass_packets;
