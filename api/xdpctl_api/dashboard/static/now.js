// SPDX-License-Identifier: GPL-2.0-or-later
// The page Now: what needs somebody, rules at work, lists, and when each is read.

import { ask } from "./page.js";
import { choosePast, drawAll, history, lookBack, shown } from "./figures.js";
import { mark } from "./plot.js";
import { on } from "./stream.js";
import { show, si } from "./tables.js";
import { time as when } from "./times.js";

const MINUTE = 60_000; // ms
const NAME_MOST = 40; // characters of an incident's name in the plot
const EACH = 2000; // ms between looks at lists
const find = (name) => document.getElementById(name);
const most = (name) => find(name).dataset.most; // rows that it shows
const chosen = (name) => document.querySelector(`input[name=${name}]:checked`)?.value;
let known = true; // whether anything is known of the traffic now

const quietly = (task) => task.catch((error) => console.info("not read:", error.message));

// what needs somebody, and rules

/** Shows values in a list or table, which is hidden while there are none. */
function showIn(body, template, values, key) {
  show(body, find(template), values, key);
  const around = body.closest("ul")?.parentElement ?? body.closest(".scroll");
  around.hidden = body.children.length === 0;
  const needs = [...document.querySelectorAll(".needs > div, .needs > .card")];
  find("nothing").hidden = needs.some((part) => !part.hidden);
  const hurting = document.querySelector("[data-condition]").dataset.state === "hurting";
  const nothing = hurting ? "See the reason above." : "Nothing now.";
  find("nothing").textContent = known ? nothing : "Not known.";
}

/** In how many seconds a rule ends if nobody confirms it; null: never. */
function soonest(rule) {
  const ends = [rule.confirm_in, rule.expires_in].filter((seconds) => seconds !== null);
  return ends.length ? Math.min(...ends) : null;
}

const row = (rule) => ({
  ...rule,
  left: soonest(rule),
  instead: rule.limit !== null && rule.mode === "enforce" && !rule.tags.includes("softened") && !["configured", "backstop"].includes(rule.origin),
  does: rule.mode === "monitor" ? `${rule.does}, monitor` : rule.does,
  whom: rule.collateral?.text ?? "not measured",
});

async function rules() {
  const found = (await ask(`/v1/rules?sort=rate&limit=${most("rules")}`)).rules.map(row);
  const atWork = found.filter((rule) => rule.rate !== 0);
  showIn(find("rules"), "row-rule", atWork, "id");
  find("no-rules").hidden = find("rules").children.length > 0;
}

async function attackers() {
  const answer = await ask("/v1/attackers");
  const found = answer.attackers.slice(0, most("attackers"));
  showIn(find("attackers"), "card-attacker", found, "text");
  showIn(find("limits"), "card-limit", answer.limits.slice(0, most("limits")), "text");
}

let looked = 0;

/** Rules that hit people: more are looked at, less often. */
async function hits() {
  looked += 1;
  if (looked % 5 !== 1) return;
  const found = (await ask(`/v1/rules?sort=rate&limit=${most("hits")}`)).rules.map(row);
  showIn(find("hits"), "card-hit", found.filter((rule) => rule.collateral?.hurts), "id");
}

async function waits() {
  const found = await ask(`/v1/rules?provisional=true&limit=${most("waits")}`);
  showIn(find("waits"), "card-wait", found.rules.map(row), "id");
  find("more-waits").hidden = !found.next;
  const card = find("proposed");
  if (!card) return;
  const upstream = await ask("/v1/upstream");
  const [fullest] = upstream.uplinks.toSorted((one, other) => (other.share ?? 0) - (one.share ?? 0));
  if (fullest && find("uplink")) {
    find("uplink-name").textContent = fullest.interface;
    find("uplink").textContent = fullest.share === null ? "not known" : `${(100 * fullest.share).toFixed(1)}%`;
  }
  const proposed = upstream.announcements.filter((each) => each.state === "proposed");
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
  const cards = (detail.matches ?? []).map((each) => ({ ...each, challenge: each.action === "challenge", drops: each.action !== "challenge", pps: each.limit?.pps }));
  showIn(find("matches"), "card-match", cards, "match");
  const proposed = (detail.waiting ?? []).map((rule) => ({ ...row(rule), changed: rule.proposed === rule.action ? "" : rule.proposed }));
  showIn(find("waiting"), "card-proposed", proposed, "id");
});

const short = (text) => (text.length > NAME_MOST ? `${text.slice(0, NAME_MOST)}…` : text);

async function incidents() {
  const found = (await ask(`/v1/incidents?limit=${most("since")}`)).incidents;
  mark(found.map((each) => ({ at: Date.parse(each.opened_at) / 1000, name: short(each.words) })));
  const open = found.find((each) => each.open);
  find("since").hidden = !open;
  if (!open) return;
  const link = document.createElement("a");
  link.href = `/incidents/${encodeURIComponent(open.id)}`;
  link.textContent = "Incident";
  find("since").replaceChildren(link, ", open since ", when(Date.parse(open.opened_at) / 1000));
}

// lists

async function served() {
  const found = await ask(`/v1/served?limit=${most("services")}`);
  const rows = found.services.map((each) => ({ ...each, service: `${each.address} ${each.protocol} ${each.port}` }));
  show(find("services"), find("row-service"), rows, "service");
  find("serve").textContent = found.text;
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
  const found = await ask(`/v1/top?by=${by}&verdict=${chosen("verdict")}&window=4s&limit=${lists[0].dataset.most}${only}`);
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
  for (const part of [rules, hits, waits, attackers, served, tops]) await quietly(part());
}

async function again() {
  await quietly(history());
  await quietly(incidents());
  await quietly(lookBack());
}

async function begin() {
  drawAll();
  await Promise.all([history(), incidents(), look()].map(quietly));
  setInterval(look, EACH);
  setInterval(again, MINUTE);
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

export { shown };
