// SPDX-License-Identifier: GPL-2.0-or-later
// The plot of the traffic: passed upwards, dropped downwards, what is usual as a band behind.

import uPlot from "./uPlot.js";
import { clock, date, day } from "./times.js";
import { si } from "./tables.js";

const LEAST = { packets: 1000, bits: 1e6 }; // of the scale of drops, so that quiet looks quiet
const find = (name) => document.getElementById(name);
let plot = null;
let zoomed = false;
let marks = []; // when incidents began, with their names

/** The colour that a custom property resolves to, which a canvas needs. */
export function resolved(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function markIncidents({ ctx, bbox, scales, valToPos }) {
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = resolved("--ink");
  ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
  let free = 0; // where a name may begin
  for (const { at, name } of marks) {
    if (at < scales.x.min || at > scales.x.max) continue;
    const x = valToPos(at, "x", true);
    ctx.setLineDash([4, 4]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const long = ctx.measureText(name).width;
    const begins = x > bbox.left + bbox.width / 2 ? x - 6 - long : x + 6;
    if (begins < free) continue; // it would cover the one before
    ctx.fillText(name, begins, bbox.top + 12 * devicePixelRatio);
    free = Math.max(begins + long, x) + 12;
  }
  ctx.restore();
}

/** Marks when incidents began: `[{at, name}]`. */
export function mark(found) {
  marks = found.toSorted((one, other) => one.at - other.at);
  plot?.redraw();
}

const upper = (_, splits) => splits.map((value) => (value < 0 ? null : value));
const written = (_, ticks) => ticks.map((value) => (value === null ? "" : si(value)));
const both = (most) => [-most, most];

function pointed({ cursor: { idx }, data: [times, , , passed, dropped] }) {
  if (idx === null || idx === undefined || times[idx] === undefined) return;
  find("plot-at").textContent = `${day(times[idx])}: passed ${si(passed[idx])}, dropped ${si(dropped[idx])}`;
}

function setZoomed(now) {
  zoomed = now;
  find("whole").hidden = !now;
}

/** Draws `data` ([times, usual low, usual high, passed, dropped]) anew, in the unit "packets" or "bits". */
export function draw(data, unit) {
  plot?.destroy();
  setZoomed(false);
  const soft = resolved("--soft");
  const axis = { stroke: soft, grid: { stroke: resolved("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const line = (name, more) => ({ stroke: resolved(`--${name}`), fill: resolved(`--${name}-area`), width: 1.5, points: { show: false }, spanGaps: false, ...more });
  const edge = { scale: "pass", stroke: soft, width: 1, dash: [2, 3], points: { show: false } };
  plot = new uPlot({
    ...size(),
    legend: { show: false },
    cursor: { drag: { x: true, y: false }, y: false, points: { show: false } },
    scales: {
      pass: { range: (_, low, high) => both(Math.max(10, high * 1.1)) },
      drop: { dir: -1, range: (_, low, high) => both(Math.max(LEAST[unit], high * 1.1)) },
    },
    axes: [
      { ...axis, size: 28, space: 90, values: (_, ticks) => ticks.map(spans(data) > 2 * 86400 ? date : clock) },
      { ...axis, scale: "pass", size: 52, filter: upper, values: written },
      { ...axis, scale: "drop", side: 1, size: 52, filter: upper, values: written, grid: { show: false } },
    ],
    series: [{}, edge, edge, line("pass", { scale: "pass" }), line("drop", { scale: "drop" })],
    bands: [{ series: [2, 1], fill: resolved("--usual") }],
    hooks: { draw: [markIncidents], setCursor: [pointed], setSelect: [({ select }) => setZoomed(select.width > 0)] },
  }, data, find("plot"));
}

const spans = ([times]) => times.at(-1) - times[0];

const size = () => ({ width: Math.max(200, find("plot").clientWidth), height: 240 });

/** Shows newer data; what somebody looks at closely stays. */
export function update(data) {
  if (!plot) return;
  plot.setData(data, !zoomed);
  if (zoomed) plot.redraw();
}

/** A line without axes in the element, with the usual range behind it. */
export function spark(element, data, name) {
  const edge = { stroke: "transparent", points: { show: false } };
  element.replaceChildren();
  return new uPlot({
    width: 96,
    height: 34,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
    axes: [{ show: false }, { show: false }],
    series: [{}, edge, edge, { stroke: resolved(name), width: 1.5, points: { show: false } }],
    bands: [{ series: [2, 1], fill: resolved("--usual") }],
  }, data, element);
}

find("whole").addEventListener("click", () => {
  setZoomed(false);
  plot.setData(plot.data);
});
find("plot").addEventListener("dblclick", () => setZoomed(false));
new ResizeObserver(() => plot?.setSize(size())).observe(find("plot"));
