// SPDX-License-Identifier: GPL-2.0-or-later
// The page Now: plots of each second, top lists, what is unusual, and what is done about it.

import uPlot from "./uPlot.js";
import { ask } from "./page.js";
import { on } from "./stream.js";
import { prefixed, show, si } from "./tables.js";

const SECONDS = 600; // of the plots
const STEP = 5; // seconds: a clock that is so much behind was set back
const EACH = 2000; // ms between looks at lists
const SERIES = { packets: ["pass_packets", "drop_packets"], bits: ["pass_bits", "drop_bits"] };
const NAMES = Object.values(SERIES).flat();
const find = (name) => document.getElementById(name);
const plots = new Map();
let times = [];
let columns = NAMES.map(() => []);
let marks = [];

// plots

/** The colour that a custom property resolves to, which a canvas needs. */
function resolved(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function markIncidents(plot) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = resolved("--bad");
  ctx.setLineDash([4, 4]);
  for (const at of marks) {
    if (at < plot.scales.x.min || at > plot.scales.x.max) continue;
    const x = plot.valToPos(at, "x", true);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

/** The time of day in UTC. */
const clock = (unix) => new Date(unix * 1000).toISOString().slice(11, 19);

function draw(kind) {
  const box = find(`plot-${kind}`);
  plots.get(kind)?.destroy();
  const axis = { stroke: resolved("--soft"), grid: { stroke: resolved("--line"), width: 1 }, ticks: { stroke: resolved("--line") } };
  const line = (name, label) => ({ label, stroke: resolved(name), width: 2, points: { show: false }, spanGaps: false });
  plots.set(kind, new uPlot({
    width: Math.max(200, box.clientWidth),
    height: 170,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, y: false },
    scales: { y: { range: (_, low, high) => [0, Math.max(10, high * 1.1)] } },
    axes: [{ ...axis, space: 90, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 56, values: (_, ticks) => ticks.map(si) }],
    series: [{}, line("--pass", "passed"), line("--drop", "dropped")],
    hooks: { draw: [markIncidents] },
  }, data(kind), box));
}

const data = (kind) => [times, ...SERIES[kind].map((name) => columns[NAMES.indexOf(name)])];

function redraw() {
  for (const [kind, plot] of plots) plot.setData(data(kind));
}

async function history() {
  const found = await ask(`/v1/series?names=${NAMES}&since=${SECONDS}s&points=${SECONDS}`);
  const since = Date.parse(found.since) / 1000;
  const kept = NAMES.map((name) => found.figures[name].averages);
  times = kept[0].map((_, place) => since + place * found.seconds);
  columns = kept;
  const known = kept[0].findLastIndex((value) => value !== null);
  if (known >= 0) figures(Object.fromEntries(NAMES.map((name, place) => [name, kept[place][known]])));
  redraw();
}

function figures(now) {
  for (const name of SERIES.packets) find(name).textContent = si(now[name]);
  for (const name of SERIES.bits) find(name).textContent = prefixed(now[name]);
  document.body.dataset.live = "yes";
}

on("figures", ({ time, figures: found }) => {
  const second = Math.floor(time);
  const last = times.at(-1);
  if (last !== undefined && second < last - STEP) {
    times = []; // the clock of the box was set back
    columns = NAMES.map(() => []);
  } else if (last !== undefined && second <= last) return;
  if (last !== undefined && second - last > 3) add(last + 1, {}); // a gap, and not a line across it
  add(second, found);
  while (times.length && times[0] < second - SECONDS) {
    times.shift();
    for (const column of columns) column.shift();
  }
  figures(found);
  redraw();
});

function add(second, found) {
  times.push(second);
  NAMES.forEach((name, place) => columns[place].push(found[name] ?? null));
}

// lists

function verdict() {
  return document.querySelector("input[name=verdict]:checked")?.value ?? "pass";
}

let asked = 0;

async function tops() {
  const lists = [...document.querySelectorAll("[data-top]")];
  const by = lists.map((list) => list.dataset.top).join();
  const where = find("where").value.trim();
  const only = where ? `&where=${encodeURIComponent(where)}` : "";
  if (!lists.length) return; // nothing could be asked when the page was made
  asked += 1;
  const mine = asked;
  const found = await ask(`/v1/top?by=${by}&verdict=${verdict()}&window=4s&limit=6${only}`);
  if (mine !== asked) return; // another list was asked for since
  find("missing").hidden = found.missing === 0;
  find("missing").textContent = `${si(found.missing)} packets are missing in these lists: there was no room for them.`;
  for (const { by: name, rows } of found.dimensions) {
    const body = lists.find((list) => list.dataset.top === name);
    show(body, find(body.dataset.row), rows, "value");
    body.closest(".panel").querySelector(".empty").hidden = rows.length > 0;
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

/** In how many seconds a rule ends if nobody confirms it; null: never. */
function soonest(rule) {
  const ends = [rule.confirm_in, rule.expires_in].filter((seconds) => seconds !== null);
  return ends.length ? Math.min(...ends) : null;
}

async function rules() {
  const found = await ask("/v1/rules?sort=rate&limit=12");
  const rows = found.rules.map((rule) => ({ ...rule, left: soonest(rule), provisional: rule.confirm_in !== null, does: rule.mode === "monitor" ? `${rule.action}, monitor` : rule.action }));
  show(find("rules"), find("row-rule"), rows, "id");
  find("no-rules").hidden = rows.length > 0;
}

async function served() {
  const found = await ask("/v1/served?limit=8");
  const rows = found.services.map((each) => ({ ...each, service: `${each.address} ${each.protocol} ${each.port}` }));
  show(find("services"), find("row-service"), rows, "service");
  find("services").closest(".panel").hidden = rows.length === 0;
}

async function incidents() {
  const found = await ask("/v1/incidents?limit=50");
  marks = found.incidents.map((incident) => incident.opened_at);
}

document.addEventListener("condition", ({ detail }) => {
  const reasons = detail.reasons.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  });
  find("reasons").replaceChildren(...reasons);
  find("unusual").textContent = detail.before_seconds === 0 ? "What passes most: there is nothing earlier to compare with" : "Unusual among what passes";
  show(find("matches"), find("row-match"), detail.matches, "match");
  find("no-matches").hidden = detail.matches.length > 0;
  find("no-matches").textContent = detail.state === "unknown" ? "Not known." : "Nothing.";
});

async function look() {
  if (document.visibilityState !== "visible") return;
  for (const part of [rules, served, tops]) {
    try {
      await part();
    } catch (error) {
      console.info("not read:", error.message);
    }
  }
}

async function begin() {
  for (const kind of Object.keys(SERIES)) draw(kind);
  await Promise.allSettled([history(), incidents(), look()]);
  redraw();
  setInterval(look, EACH);
}

on("incident", ({ opened_at: at }) => {
  if (!marks.includes(at)) marks.push(at);
});
on("missed", () => history().catch((error) => console.info("no history:", error.message)));
on("live", (live) => live && history().catch((error) => console.info("no history:", error.message)));
document.addEventListener("acted", () => setTimeout(look, 50));
document.addEventListener("change", (event) => ["verdict", "where"].includes(event.target.name) && only());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => Object.keys(SERIES).forEach(draw));
new ResizeObserver(() => {
  for (const [kind, plot] of plots) plot.setSize({ width: Math.max(200, find(`plot-${kind}`).clientWidth), height: 170 });
}).observe(find("plot-packets"));
begin();

/** The packets/s that passed, as the plot has them. */
export const shown = () => columns[0];
