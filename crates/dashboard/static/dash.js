// What a page gains where scripts run: it follows the fleet, and the keyboard moves through it.
// Everything else works without this file.
"use strict";

(() => {
  const REFRESH_EVERY_MS = 1000;
  // Ages and rates move although nothing happens.
  const REFRESH_ANYWAY_MS = 15000;
  const RECONNECT_AFTER_MS = 2000;
  const SECOND_KEY_WITHIN_MS = 1200;

  // Following the fleet: one stream says that something has changed, the page fetches itself again.

  const live = () => document.querySelector("#live[data-live]");
  let stream = null;
  let lastRefresh = 0;
  let pending = null;

  // A half-written form and a selected text are the reader's, not ours to replace.
  const busy = () => {
    const selection = getSelection();
    if (!selection.isCollapsed && live().contains(selection.anchorNode)) return true;
    const fields = document.querySelectorAll("#live input:not([type=hidden]), #live textarea");
    return [...fields].some((field) =>
      field === document.activeElement ||
      (field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue));
  };

  const refresh = () => {
    if (pending !== null || !live()) return;
    const wait = Math.max(0, lastRefresh + REFRESH_EVERY_MS - Date.now());
    pending = setTimeout(() => {
      pending = null;
      lastRefresh = Date.now();
      if (document.hidden || !live()) return;
      if (busy()) return refresh();
      htmx.trigger(document.body, "fleet-changed");
    }, wait);
  };

  const follow = () => {
    if (!live()) return;
    stream = new EventSource(live().dataset.live);
    stream.addEventListener("open", () => {
      document.documentElement.dataset.stream = "open";
      refresh();
    });
    stream.addEventListener("changed", refresh);
    stream.addEventListener("error", () => {
      document.documentElement.dataset.stream = "lost";
      // A browser tries again by itself, except after an answer it did not expect.
      if (stream.readyState === EventSource.CLOSED) setTimeout(follow, RECONNECT_AFTER_MS);
    });
  };
  follow();
  addEventListener("pagehide", () => stream?.close());
  // Back from the browser's own store of pages, a page has no stream any more.
  addEventListener("pageshow", (event) => { if (event.persisted) follow(); });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  setInterval(refresh, REFRESH_ANYWAY_MS);
  // What is shown stands still from here on: its job or its batch has ended.
  document.addEventListener("htmx:afterSwap", () => {
    if (stream === null || live()) return;
    stream.close();
    stream = null;
    delete document.documentElement.dataset.stream;
  });

  // What was unfolded or selected stays so when its surroundings are replaced.

  let unfolded = [];
  let selected = null;
  document.addEventListener("htmx:beforeSwap", () => {
    const open = document.querySelectorAll("#live details[open] > summary");
    unfolded = [...open].map((summary) => summary.textContent);
    const focus = document.activeElement;
    selected = focus && focus.closest("#live") ? focus.getAttribute("href") : null;
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const summary of document.querySelectorAll("#live details > summary")) {
      if (unfolded.includes(summary.textContent)) summary.parentElement.open = true;
    }
    if (selected) {
      const again = document.querySelector(`#live a[href="${CSS.escape(selected)}"]`);
      if (again) again.focus({ preventScroll: true });
    }
  });
  // A session that has ended answers with the door: go there as a whole page.
  // The answer takes a moment, in which somebody may have begun to write: what was typed stays.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!live() || !busy()) return;
    event.detail.shouldSwap = false;
    refresh();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const told = event.detail.xhr;
    if (told && told.responseURL.includes("/login")) {
      event.detail.shouldSwap = false;
      location.reload();
    }
  });

  // Keys.

  let leader = 0;
  const rows = () => [...document.querySelectorAll("table.rows tbody a:first-of-type")]
    .filter((link, at, all) => all.findIndex((other) => other.closest("tr") === link.closest("tr")) === at);

  const step = (by) => {
    const links = rows();
    if (links.length === 0) return;
    const at = links.indexOf(document.activeElement);
    const to = at < 0 ? (by > 0 ? 0 : links.length - 1) : at + by;
    const link = links[Math.min(Math.max(to, 0), links.length - 1)];
    link.focus();
    link.scrollIntoView({ block: "nearest" });
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target.matches("input, textarea, select")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (Date.now() - leader < SECOND_KEY_WITHIN_MS) {
      leader = 0;
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (link) link.click();
      return;
    }
    const keys = document.getElementById("keys");
    const deeds = {
      g: () => { leader = Date.now(); },
      j: () => step(1),
      k: () => step(-1),
      "/": () => {
        const field = document.getElementById("where");
        if (field) field.focus();
      },
      "?": () => { if (keys && !keys.open) keys.showModal(); },
    };
    const deed = deeds[event.key];
    if (deed) {
      event.preventDefault();
      deed();
    }
  });
})();
