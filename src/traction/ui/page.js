// Times become local, a page that is open stays live, and the slider submits itself. All else works without a script.
"use strict";

function showLocalTimes(root) {
  const today = new Date().toDateString();
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const clock = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
    const day = at.toLocaleDateString("sv-SE");
    time.textContent = at.toDateString() === today ? clock : `${day} ${clock}`;
  }
}

const main = document.getElementById("main");
const note = document.getElementById("live-note");
let stream = null;

async function refresh() {
  const old = document.getElementById("live");
  if (!old || (document.activeElement && old.contains(document.activeElement) && document.activeElement.matches("input, select, textarea"))) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.getElementById("live");
  if (!fresh) return;
  const focused = document.activeElement && document.activeElement.getAttribute("href");
  const sideways = [...old.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
  showLocalTimes(fresh);
  old.replaceWith(fresh);
  [...fresh.querySelectorAll(".scroll")].forEach((box, i) => { box.scrollLeft = sideways[i] || 0; });
  if (focused) {
    const again = [...fresh.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused);
    if (again) again.focus({ preventScroll: true });
  }
  const live = page.getElementById("main").dataset.live;
  if (live) main.dataset.live = live;
  else { delete main.dataset.live; follow(); }
  note.textContent = `live, updated ${new Date().toLocaleTimeString()}`;
}

function follow() {
  if (stream) { stream.close(); stream = null; }
  if (!main.dataset.live) { note.textContent = ""; return; }
  if (document.hidden) return;
  stream = new EventSource(main.dataset.live);
  stream.onopen = () => { note.textContent = note.textContent || "live"; };
  stream.addEventListener("change", refresh);
  stream.addEventListener("busy", () => { note.textContent = "the service is busy"; });
  stream.onerror = () => { note.textContent = "not connected"; };
}

for (const form of document.querySelectorAll("form[data-submit]")) {
  form.addEventListener("change", () => form.requestSubmit());
}
showLocalTimes(document);
document.addEventListener("visibilitychange", () => { if (!document.hidden && main.dataset.live) refresh(); follow(); });
follow();
