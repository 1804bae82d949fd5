// SPDX-License-Identifier: GPL-2.0-or-later
// Events of the box. All tabs of a browser share one stream: a browser opens six connections to a
// host at most. The tab that holds the lock reads it, and tells the others.

const LOST_AFTER = 4000; // ms without figures, which come each second
const KINDS = ["figures", "incident", "problems", "missed"];
const channel = new BroadcastChannel("xdpctl");
const events = new EventTarget();
let heardAt = performance.now();
let live = true;

function tell(kind, data) {
  if (kind === "figures") {
    heardAt = performance.now();
    setLive(true);
  }
  events.dispatchEvent(new CustomEvent(kind, { detail: data }));
}

function setLive(now) {
  if (now === live) return;
  live = now;
  events.dispatchEvent(new CustomEvent("live", { detail: now }));
}

function read(release) {
  const source = new EventSource("/v1/stream");
  for (const kind of KINDS) {
    source.addEventListener(kind, (event) => {
      const data = JSON.parse(event.data);
      tell(kind, data);
      channel.postMessage({ kind, data });
    });
  }
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return; // it connects again by itself
    setTimeout(() => release(), 2000); // refused: another attempt, by this tab or another one
  });
}

async function lead() {
  for (;;) await navigator.locks.request("xdpctl-stream", () => new Promise(read));
}

channel.addEventListener("message", (event) => tell(event.data.kind, event.data.data));
setInterval(() => setLive(performance.now() - heardAt < LOST_AFTER), 500);
lead();

/** Calls a function with the data of each event of a kind; `live` tells whether events come. */
export function on(kind, call) {
  events.addEventListener(kind, (event) => call(event.detail));
}
