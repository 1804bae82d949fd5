// SPDX-License-Identifier: GPL-2.0-or-later
// The page of one incident: its five lines while it is open, and the plot of its time.

import { ask } from "./page.js";
import { draw, mark, update } from "./plot.js";
import { on } from "./stream.js";

const EACH = 2000; // ms between looks while it is open
const AROUND = 120; // seconds before it began and after it ended
const POINTS = 600;
const { incident: id, opened, closed } = document.querySelector("[data-incident]").dataset;
const find = (name) => document.getElementById(name);
const began = Date.parse(opened) / 1000;
let ended = closed; // empty while it is open
let drawn = false;

async function figures() {
  const now = Date.now() / 1000;
  const since = Math.ceil(now - began + AROUND);
  const until = ended ? Math.max(0, Math.floor(now - Date.parse(ended) / 1000 - AROUND)) : 0;
  const found = await ask(`/v1/series?names=pass_packets,drop_packets&since=${since}s&until=${until}s&points=${POINTS}&usual=true`);
  const { pass_packets: passed, drop_packets: dropped } = found.figures;
  const first = Date.parse(found.since) / 1000;
  const times = passed.averages.map((_, place) => first + place * found.seconds);
  const data = [times, passed.usual_low, passed.usual_high, passed.averages, dropped.averages];
  if (drawn) {
    update(data);
    return;
  }
  find("chart")?.remove(); // what was drawn for those without scripts
  find("plots").hidden = false;
  draw(data, "packets");
  mark([{ at: began, name: "began" }, ...(closed ? [{ at: Date.parse(closed) / 1000, name: "over" }] : [])]);
  drawn = true;
}

async function look() {
  if (document.visibilityState !== "visible") return;
  const found = await ask(`/v1/incidents/${encodeURIComponent(id)}`);
  for (const [name, text] of Object.entries(found.short)) {
    const line = document.querySelector(`[data-short="${name}"]`);
    if (line && line.textContent !== text) line.textContent = text;
  }
  ended = found.closed_at ?? "";
  await figures();
}

const quietly = (task) => task.catch((error) => console.info("not read:", error.message));

quietly(figures());
const timer = ended ? null : setInterval(() => (ended ? clearInterval(timer) : quietly(look())), EACH);
on("incident", (changed) => changed.id === id && quietly(look()));
document.addEventListener("zone", () => {
  drawn = false;
  quietly(figures());
});
