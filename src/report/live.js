"use strict";
// The live page: shows what the server says is going on (#live), and gets the page again when there is more to see.
(function () {
  const panel = document.getElementById("live");

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function duration(seconds) {
    if (seconds < 90) return `${Math.round(seconds)} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    return `${Math.floor(seconds / 3600)} h ${Math.round(seconds % 3600 / 60)} min`;
  }

  function link(path) {
    const made = element("a", path.split("/").pop());
    made.href = path;
    return made;
  }

  function table(heads, rows, className) {
    const made = element("table");
    const head = made.createTHead().insertRow();
    for (const [text, isText] of heads) head.appendChild(element("th", text, isText ? "text" : ""));
    const body = made.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      row.forEach((cell, i) => {
        const made = line.appendChild(element("td", undefined, heads[i][1] ? "text" : ""));
        for (const part of [cell].flat()) made.append(part, " ");
      });
    }
    const scroll = element("div", undefined, "scroll " + (className || ""));
    scroll.tabIndex = 0;
    scroll.append(made);
    return scroll;
  }

  function bar(job) {
    const made = element("progress");
    made.max = Math.max(1, job.steps);
    made.value = job.step;
    made.setAttribute("aria-label", job.name);
    return made;
  }

  // --- Orders ---

  const answer = element("span", "", "muted");
  answer.setAttribute("role", "status");

  async function order(what, question) {
    if (question && !confirm(question)) return false;
    answer.textContent = "…";
    try {
      const response = await fetch("orders", { method: "POST", body: JSON.stringify(what),
        headers: { "Content-Type": "application/json", "X-Lathe-Order": "1" } });
      answer.textContent = (await response.text()).trim();
      return response.ok;
    } catch {
      answer.textContent = "The server does not answer.";
      return false;
    }
  }

  function button(text, label, act) {
    const made = element("button", text);
    made.type = "button";
    made.setAttribute("aria-label", label);
    made.addEventListener("click", act);
    return made;
  }

  // Made once, as somebody may be typing in it.
  const controls = (() => {
    const form = element("form", undefined, "orders");
    const network = element("input");
    network.placeholder = "zoo name or encoding";
    network.setAttribute("aria-label", "Network to try next");
    const enqueue = element("button", "Try it next");
    form.append(button("Stop the search", "Stop the search", () => order({ order: "stop" },
      "Stop the search? Running trials save, and it can be continued with --resume.")), network, enqueue, answer);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (network.value.trim() && await order({ order: "enqueue", network: network.value.trim() })) network.value = "";
    });
    return form;
  })();

  function prune(job) {
    return button("prune", `Prune trial ${job.trial}`, () => order({ order: "prune", trial: job.trial },
      `Prune trial ${job.trial}? It ends with what it has.`));
  }

  function jobRow(job) {
    const note = job.silent > 60 ? `no news for ${duration(job.silent)}` : job.note;
    return [job.name, job.steps ? [bar(job), `${Math.floor(100 * job.step / job.steps)} %`] : "starting",
      job.steps ? duration(job.seconds_left) : "–", duration(job.age), job.latency_us ? (job.latency_us / 1000).toFixed(3) : "–",
      [note, ...(job.log ? [link(job.folder + "/log.txt")] : []), ...(orders && job.trial !== undefined ? [prune(job)] : [])]];
  }

  function part(title, ...content) {
    const section = element("section");
    section.append(element("h2", title), ...content);
    return section;
  }

  let orders = false;  // whether the page may give them
  function show(status) {
    orders = status.orders;
    const active = panel.contains(document.activeElement) ? document.activeElement : null;
    const [focus, label] = [active?.href, active?.getAttribute("aria-label")];
    const summary = element("p", status.summary);
    summary.setAttribute("role", "status");
    const parts = [part("Now", summary, ...(orders ? [controls] : []))];
    const jobs = status.running.map(jobRow);
    if (jobs.length) {
      parts[0].append(table([["running", true], ["progress", true], ["left"], ["runs for"], ["LUT, ms"], ["", true]], jobs, "running"));
      const more = status.running_count - status.running.length;
      if (more > 0) parts[0].append(element("p", `and ${more} more`, "muted"));
    }
    for (const waiting of status.waiting) parts[0].append(element("p", waiting, "muted"));
    if (status.best.length) {
      parts.push(part("Best so far", table([["trial"], ["objective"], ["accuracy, %"], ["LUT, ms"], ["files", true]],
        status.best.map((one) => [String(one.trial), one.value.toFixed(4), (100 * one.accuracy).toFixed(2),
          (one.latency_us / 1000).toFixed(3), one.files.map(link)]))));
    }
    if (status.events.length) {
      const list = element("ol", undefined, "events");
      for (const [seconds, text] of status.events) {
        const item = element("li");
        item.append(element("time", new Date(1000 * seconds).toLocaleString()), " ", text);
        list.append(item);
      }
      parts.push(part("Events", list));
    }
    const scrolled = panel.querySelector(".running")?.scrollTop;
    panel.replaceChildren(...parts);
    if (scrolled) panel.querySelector(".running")?.scrollTo({ top: scrolled });
    if (controls.contains(active)) active.focus({ preventScroll: true });
    else if (active) {
      [...panel.querySelectorAll("a, button")].find((one) => focus ? one.href === focus : label && one.getAttribute("aria-label") === label)
        ?.focus({ preventScroll: true });
    }
  }

  // The newer page takes the place of this one, but for what the reader works with: the table of trials and #live.
  async function refresh() {
    const answer = await fetch(location.href);
    if (!answer.ok) return;
    const newer = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [data, newData] = [document, newer].map((one) => one.getElementById("data"));
    if (!data || !newData || !document.getElementById("trials")) return location.reload();
    const main = document.querySelector("main");
    const kept = [panel, document.getElementById("trials").closest("section")];
    const open = [...document.querySelectorAll("details")].map((one) => one.open);
    const fresh = [...newer.querySelector("main").children];
    const isKept = [(one) => one.id === "live", (one) => one.querySelector("#trials")];
    for (const old of [...main.children]) if (!kept.includes(old)) old.remove();
    let before = null;  // what follows; from the end, so that kept ones stay where they are
    for (const one of fresh.reverse()) {
      const which = isKept.findIndex((matches) => matches(one));
      if (which < 0) main.insertBefore(document.adoptNode(one), before);
      before = which < 0 ? one : kept[which];
    }
    document.querySelectorAll("details").forEach((one, i) => { one.open = open[i]; });
    data.textContent = newData.textContent;
    lathe.show(data.textContent);
  }

  // Hidden tabs do not listen: browsers allow few connections to one server.
  let stream = null;
  function listen() {
    if (document.hidden) {
      stream?.close();
      stream = null;
      return;
    }
    if (stream) return;
    stream = new EventSource("events");
    stream.addEventListener("status", (event) => show(JSON.parse(event.data)));
    stream.addEventListener("page", refresh);
    stream.addEventListener("error", () => {
      const line = panel.querySelector("[role=status]");
      if (line) line.textContent = "The server does not answer; trying again.";
    });
  }

  if (!panel) return void setInterval(() => { if (!document.hidden) location.reload(); }, 10000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !stream) refresh();
    listen();
  });
  listen();
})();
