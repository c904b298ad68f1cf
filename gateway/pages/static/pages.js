/* Live pages: after an outcome, load the page again and replace its parts that are marked `data-live`. Everything on
   the pages works without this script, after a reload.

   <body data-live-url="/v1/outcomes/events" data-place="...">  the stream, and the place up to which the page is current
   data-live-kinds="predict_card replay"   kinds of jobs after which the page may differ; absent: any
   data-live-card="..."                    only outcomes of this card, and failures
   data-live-seconds="5"                   also reload at this interval: for figures that no outcome announces
   <section id="fights" data-live>         a part that is replaced */
"use strict";
(() => {
  const body = document.body, note = document.getElementById("live");
  const parts = () => document.querySelectorAll("[data-live][id]");
  if (!parts().length) return;
  const { liveUrl, liveKinds, liveCard, liveSeconds } = body.dataset;
  const LEAST_MS = 1000;
  let place = body.dataset.place || "$", stream = null, timer = null, loading = false, again = false, loaded = 0;

  function say(text, lost = false) {
    if (!note) return;
    note.classList.toggle("lost", lost);
    if (note.textContent !== text) note.textContent = text;
  }
  const changing = (part) => part.contains(document.activeElement)
    && document.activeElement.matches("input, select, textarea");

  async function refresh() {
    timer = null;
    if (loading) { again = true; return; }
    loading = true;
    loaded = Date.now();
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (answer.redirected || answer.status === 401) { location.reload(); return; }
      if (answer.ok) put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch { say("No connection: the page may be out of date", true); later(5000); }
    loading = false;
    if (again) { again = false; later(LEAST_MS); }
  }

  function put(page) {
    let changed = false;
    for (const old of parts()) {
      const part = page.getElementById(old.id);
      if (!part || changing(old) || old.innerHTML === part.innerHTML) continue;
      const open = new Set([...old.querySelectorAll("details[open][id]")].map((each) => each.id));
      const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
      for (const each of part.querySelectorAll("details[id]")) each.open = each.open || open.has(each.id);
      if (old.dataset.live !== "quiet") { part.classList.add("fresh"); changed = true; }
      old.replaceWith(document.adoptNode(part));
      if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    }
    if (changed) say("Updated " + new Date().toISOString().slice(11, 19) + " UTC");
  }

  function later(least) {
    if (timer === null) timer = setTimeout(refresh, Math.max(least, loaded + LEAST_MS - Date.now()));
  }

  function concerns(outcome) {
    if (liveKinds && !liveKinds.split(" ").includes(outcome.kind)) return false;
    return !liveCard || outcome.kind !== "predict_card" || !outcome.report || outcome.report.card_id === liveCard;
  }

  function open() {
    if (!liveUrl || stream || document.hidden) return;
    const kinds = (liveKinds || "").split(" ");
    const one = kinds.length === 1 && kinds[0] ? "&kind=" + encodeURIComponent(kinds[0]) : "";
    stream = new EventSource(liveUrl + "?after=" + encodeURIComponent(place) + one);
    stream.addEventListener("outcome", (event) => {
      place = event.lastEventId || place;
      let outcome;
      try { outcome = JSON.parse(event.data); } catch { return; }
      if (concerns(outcome)) later(100);
    });
    stream.addEventListener("missed", () => later(0));
    stream.addEventListener("open", () => say("Live"));
    stream.addEventListener("error", () => {
      say("Connection lost, connecting again", true);
      if (stream && stream.readyState === EventSource.CLOSED) { stream = null; setTimeout(open, 5000); }
    });
  }

  /* A hidden tab holds no connection: a browser opens only six to a server over HTTP/1.1, for all its tabs. */
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { stream?.close(); stream = null; } else { later(0); open(); }
  });
  addEventListener("pagehide", () => { stream?.close(); stream = null; });
  addEventListener("pageshow", (event) => { if (event.persisted) { later(0); open(); } });
  if (liveSeconds) setInterval(() => { if (!document.hidden) later(0); }, 1000 * liveSeconds);
  open();
})();
