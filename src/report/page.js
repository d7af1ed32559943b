"use strict";
// Draws the page's plots from the JSON in #data and makes the table of trials sortable and searchable. Without this script the
// page still reads: the tables are plain HTML.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const charts = [];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const ms = (us) => us / 1000;
  const complete = data.trials.filter((trial) => trial.state === "COMPLETE");
  const finalists = data.networks.filter((network) => network.finalist && network.accuracy > 0);
  const baselines = data.networks.filter((network) => !network.finalist && network.accuracy > 0);

  function axis(text, options) {
    return Object.assign({
      title: { display: true, text: text, color: colour("muted") },
      ticks: { color: colour("muted") },
      grid: { color: colour("line") },
    }, options || {});
  }

  // Vertical lines and bands in data coordinates, and horizontal error bars of measured latencies.
  const marks = {
    id: "marks",
    beforeDatasetsDraw(chart) {
      const plan = chart.options.plugins.marks;
      if (!plan || !plan.x) return;
      const { ctx, chartArea: area, scales: { x } } = chart;
      ctx.save();
      ctx.beginPath();
      ctx.rect(area.left, area.top, area.width, area.height);
      ctx.clip();
      if (plan.band) {
        ctx.fillStyle = colour("band");
        const from = x.getPixelForValue(plan.band[0]);
        ctx.fillRect(from, area.top, x.getPixelForValue(plan.band[1]) - from, area.height);
      }
      ctx.strokeStyle = colour("budget");
      ctx.setLineDash([6, 4]);
      ctx.lineWidth = 1.5;
      const at = x.getPixelForValue(plan.x);
      ctx.beginPath();
      ctx.moveTo(at, area.top);
      ctx.lineTo(at, area.bottom);
      ctx.stroke();
      ctx.restore();
    },
    afterDatasetsDraw(chart) {
      const plan = chart.options.plugins.marks;
      if (!plan || !plan.bars) return;
      const { ctx, scales: { x, y } } = chart;
      ctx.save();
      ctx.strokeStyle = colour("muted");
      for (const bar of plan.bars) {
        ctx.beginPath();
        ctx.moveTo(x.getPixelForValue(bar.x0), y.getPixelForValue(bar.y));
        ctx.lineTo(x.getPixelForValue(bar.x1), y.getPixelForValue(bar.y));
        ctx.moveTo(x.getPixelForValue(bar.x), y.getPixelForValue(bar.y0));
        ctx.lineTo(x.getPixelForValue(bar.x), y.getPixelForValue(bar.y1));
        ctx.stroke();
      }
      ctx.restore();
    },
  };

  function draw(id, config) {
    const canvas = document.getElementById(id);
    if (!canvas) return;
    config.options = Object.assign({
      animation: false, responsive: true, maintainAspectRatio: false, normalized: true,
    }, config.options);
    config.plugins = [marks];
    charts.push(new Chart(canvas, config));
  }

  const legend = () => ({ position: "bottom", labels: { color: colour("ink"), usePointStyle: true } });

  function network(list, label, name, style) {
    return {
      label: label, pointStyle: style, radius: 7, hoverRadius: 9, borderWidth: 1.5,
      backgroundColor: colour(name), borderColor: colour("card"),
      data: list.map((one) => ({ x: ms(one.measured_us), y: 100 * one.accuracy, name: one.name })),
    };
  }

  function drawFront() {
    const front = data.front.map((index) => data.trials[index]);
    draw("front", {
      type: "scatter",
      data: {
        datasets: [
          network(finalists, "finalists (fully trained, measured)", "finalist", "rectRot"),
          network(baselines, "zoo baselines (fully trained, measured)", "baseline", "triangle"),
          {
            label: "trials (short training, LUT latency)", pointStyle: "circle", radius: 3.5, backgroundColor: colour("trial"),
            data: complete.map((trial) => ({ x: ms(trial.latency_us), y: 100 * trial.accuracy, name: "trial " + trial.number })),
          },
          {
            label: "Pareto front of the trials", type: "line", stepped: true, pointRadius: 0, borderWidth: 2,
            borderColor: colour("front"), backgroundColor: colour("front"), pointStyle: "line",
            data: front.map((trial) => ({ x: ms(trial.latency_us), y: 100 * trial.accuracy, name: "trial " + trial.number })),
          },
        ],
      },
      options: {
        scales: { x: axis("latency, ms"), y: axis("top-1 accuracy, %") },
        plugins: {
          legend: legend(),
          marks: {
            x: ms(data.latency_budget_us),
            band: [ms(data.subspace_low_us), ms(data.subspace_high_us)],
            bars: finalists.concat(baselines).map((one) => ({
              x: ms(one.measured_us), x0: ms(one.measured_p10_us), x1: ms(one.measured_p90_us),
              y: 100 * one.accuracy, y0: 100 * one.accuracy_low, y1: 100 * one.accuracy_high,
            })),
          },
          tooltip: { callbacks: { label: (item) => `${item.raw.name}: ${item.raw.y.toFixed(2)} %, ${item.raw.x.toFixed(3)} ms` } },
        },
      },
    });
  }

  function drawProgress() {
    let best = Infinity;
    const running = complete.map((trial) => ({ x: trial.number, y: (best = Math.min(best, trial.value)) }));
    draw("progress", {
      type: "scatter",
      data: {
        datasets: [
          { label: "objective of a trial", radius: 3, pointStyle: "circle", backgroundColor: colour("trial"),
            data: complete.map((trial) => ({ x: trial.number, y: trial.value })) },
          { label: "best so far", type: "line", stepped: true, pointRadius: 0, borderWidth: 2, pointStyle: "line",
            borderColor: colour("finalist"), data: running },
        ],
      },
      options: { scales: { x: axis("trial"), y: axis("objective (lower is better)") }, plugins: { legend: legend() } },
    });
  }

  function drawLatency() {
    const pairs = data.lut_check.map((pair) => ({ x: ms(pair[0]), y: ms(pair[1]) }));
    const top = Math.max(...pairs.map((pair) => Math.max(pair.x, pair.y))) * 1.1;
    draw("latency", {
      type: "scatter",
      data: {
        datasets: [
          { label: "networks", radius: 4.5, pointStyle: "rectRot", backgroundColor: colour("finalist"), data: pairs },
          { label: "exact", type: "line", pointRadius: 0, borderWidth: 1.5, borderDash: [5, 4], pointStyle: "line",
            borderColor: colour("muted"), data: [{ x: 0, y: 0 }, { x: top, y: top }] },
        ],
      },
      options: {
        scales: { x: axis("predicted, ms", { min: 0, max: top }), y: axis("measured end to end, ms", { min: 0, max: top }) },
        plugins: { legend: legend() },
      },
    });
  }

  function drawSubspaces() {
    const edges = data.edges_us.map((edge) => ms(edge).toFixed(2));
    const labels = data.bucket_counts.map((_, i) =>
      i === 0 ? "< " + edges[0] : i === edges.length ? "≥ " + edges[i - 1] : edges[i - 1] + "–" + edges[i]);
    draw("subspaces", {
      type: "bar",
      data: { labels: labels, datasets: [{ label: "Sobol candidates", data: data.bucket_counts, backgroundColor: colour("finalist") }] },
      options: { scales: { x: axis("latency sub-space, ms"), y: axis("candidates") }, plugins: { legend: { display: false } } },
    });
  }

  function drawCurves() {
    const dashes = [[], [6, 4], [2, 3], [8, 3, 2, 3]];
    const styles = ["circle", "triangle", "rect", "rectRot", "star", "cross"];
    const trained = data.networks.filter((one) => one.curve.length > 0);
    draw("curves", {
      type: "line",
      data: {
        labels: trained.length ? trained.reduce((a, b) => (b.curve.length > a.curve.length ? b : a)).curve.map((_, i) => i + 1) : [],
        datasets: trained.map((one, i) => ({
          label: one.name, data: one.curve.map((accuracy) => 100 * accuracy), borderWidth: 2, radius: 4,
          pointStyle: styles[i % styles.length], borderDash: dashes[Math.floor(i / 2) % dashes.length],
          borderColor: colour(one.finalist ? "finalist" : "baseline"), backgroundColor: colour(one.finalist ? "finalist" : "baseline"),
        })),
      },
      options: { scales: { x: axis("epoch"), y: axis("test accuracy, %") }, plugins: { legend: legend() } },
    });
  }

  function drawAll() {
    while (charts.length) charts.pop().destroy();
    drawFront();
    drawProgress();
    if (data.lut_check.length) drawLatency();
    if (data.bucket_counts.length) drawSubspaces();
    drawCurves();
  }

  // The table: sorted and filtered in the data, a page of rows in the document.
  const kRows = 200;
  const columns = ["number", "state", "accuracy", "loss", "latency_us", "value", "params", "macs", "seconds", "note"];
  const body = document.querySelector("#trials tbody");
  const filter = document.getElementById("filter");
  let order = { column: "number", up: true };

  function short(value) {
    if (value >= 1e6) return (value / 1e6).toFixed(2) + " M";
    return value >= 1e3 ? (value / 1e3).toFixed(1) + " k" : String(value);
  }

  function cells(trial) {
    const done = trial.state === "COMPLETE";
    return [trial.number, trial.state, done ? (100 * trial.accuracy).toFixed(2) : "–", done ? trial.loss.toFixed(4) : "–",
      ms(trial.latency_us).toFixed(3), done ? trial.value.toFixed(4) : "–", short(trial.params), short(trial.macs),
      trial.seconds > 0 ? trial.seconds.toFixed(1) : "–", trial.note];
  }

  function fill() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (trial) => (trial.number + " " + trial.state + " " + trial.note + " " +
      data.genes.map((gene, i) => gene + "=" + trial.encoding[i]).join(" ")).toLowerCase();
    const rows = words.length ? data.trials.filter((trial) => { const all = text(trial); return words.every((w) => all.includes(w)); })
      : data.trials.slice();
    const sign = order.up ? 1 : -1;
    rows.sort((a, b) => sign * (a[order.column] < b[order.column] ? -1 : a[order.column] > b[order.column] ? 1 : a.number - b.number));
    const fragment = document.createDocumentFragment();
    for (const trial of rows.slice(0, kRows)) {
      const row = document.createElement("tr");
      row.title = data.genes.map((gene, i) => gene + " = " + trial.encoding[i]).join(", ");
      cells(trial).forEach((value, i) => {
        const cell = document.createElement("td");
        cell.textContent = value;
        if (i === 1) cell.className = "text";
        if (i === 9) cell.className = "text wrap";
        row.appendChild(cell);
      });
      fragment.appendChild(row);
    }
    body.replaceChildren(fragment);
    document.getElementById("shown").textContent =
      rows.length > kRows ? `the first ${kRows} of ${rows.length} shown` : `${rows.length} shown`;
  }

  document.querySelectorAll("#trials th button").forEach((button, i) => {
    button.addEventListener("click", () => {
      order = { column: columns[i], up: order.column === columns[i] ? !order.up : true };
      document.querySelectorAll("#trials th").forEach((head, j) =>
        j === i ? head.setAttribute("aria-sort", order.up ? "ascending" : "descending") : head.removeAttribute("aria-sort"));
      fill();
    });
  });
  filter.addEventListener("input", fill);
  filter.hidden = false;
  fill();
  drawAll();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
