"use strict";
// Draws the page's plots from the JSON in #data. Without this script the page still reads: the tables are plain HTML.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const charts = [];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const ms = (us) => us / 1000;
  const narrow = window.matchMedia("(max-width: 560px)");
  const complete = data.trials.filter((trial) => trial.state === "COMPLETE");
  const dot = complete.length > 200 ? 2 : 3.5;
  const trained = data.networks.filter((network) => network.accuracy > 0);
  const finalists = trained.filter((network) => network.finalist);
  const baselines = trained.filter((network) => !network.finalist);

  function axis(text, options) {
    const { ticks, ...others } = options || {};
    return {
      title: { display: true, text: text, color: colour("muted") },
      ticks: { color: colour("muted"), ...ticks },
      grid: { color: colour("line"), borderColor: colour("line") },
      ...others,
    };
  }

  // What lies behind the points, in data coordinates: a band, the budget and target lines, error bars. In front: bar counts.
  const marks = {
    id: "marks",
    beforeDatasetsDraw(chart, _, plan) {
      const { ctx, chartArea: area, scales: { x, y } } = chart;
      const line = (x0, y0, x1, y1) => { ctx.beginPath(); ctx.moveTo(x0, y0); ctx.lineTo(x1, y1); ctx.stroke(); };
      ctx.save();
      ctx.beginPath();
      ctx.rect(area.left, area.top, area.width, area.height);
      ctx.clip();
      if (plan.band) {
        const from = x.getPixelForValue(plan.band[0]);
        ctx.fillStyle = colour("band");
        ctx.fillRect(from, area.top, x.getPixelForValue(plan.band[1]) - from, area.height);
      }
      ctx.strokeStyle = colour("budget");
      ctx.lineWidth = 1.5;
      ctx.setLineDash([6, 4]);
      if (plan.x > 0) line(x.getPixelForValue(plan.x), area.top, x.getPixelForValue(plan.x), area.bottom);
      if (plan.y > 0) line(area.left, y.getPixelForValue(plan.y), area.right, y.getPixelForValue(plan.y));
      ctx.setLineDash([]);
      for (const bar of plan.bars || []) {
        const [cx, cy] = [x.getPixelForValue(bar.x), y.getPixelForValue(bar.y)];
        ctx.strokeStyle = colour(bar.colour);
        for (const end of bar.xs.map((value) => x.getPixelForValue(value))) {
          line(cx, cy, end, cy);
          line(end, cy - 3, end, cy + 3);
        }
        for (const end of bar.ys.map((value) => y.getPixelForValue(value))) {
          line(cx, cy, cx, end);
          line(cx - 3, end, cx + 3, end);
        }
      }
      ctx.restore();
    },
    afterDatasetsDraw(chart, _, plan) {
      if (!plan.counts) return;
      const { ctx } = chart;
      ctx.save();
      ctx.fillStyle = colour("muted");
      ctx.textAlign = "center";
      ctx.font = "12px " + Chart.defaults.font.family;
      chart.getDatasetMeta(0).data.forEach((bar, i) => ctx.fillText(plan.counts[i], bar.x, bar.y - 5));
      ctx.restore();
    },
  };

  // Chart.js' own legend knows neither the dashes of a line nor empty data.
  function legend(labels) {
    return {
      position: "bottom",
      labels: {
        usePointStyle: true, boxHeight: 7, padding: narrow.matches ? 8 : 14, ...labels,
        generateLabels: (chart) => chart.data.datasets.map((set, i) => ({
          text: set.label, datasetIndex: i, hidden: !chart.isDatasetVisible(i), pointStyle: set.pointStyle,
          fontColor: colour("ink"), fillStyle: set.backgroundColor,
          strokeStyle: set.pointStyle === "line" ? set.borderColor : set.backgroundColor,
          lineWidth: set.borderWidth || 0, lineDash: set.borderDash || [],
        })).filter((item) => chart.data.datasets[item.datasetIndex].data.length),
      },
    };
  }

  function draw(id, type, datasets, scales, plugins, labels) {
    const canvas = document.getElementById(id);
    if (!canvas) return;  // nothing to show there yet
    charts.push(new Chart(canvas, {
      type: type, data: { labels: labels, datasets: datasets }, plugins: [marks],
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, scales: scales,
        plugins: { legend: legend(), ...plugins },
      },
    }));
  }

  const pointOf = (trial) => ({ x: ms(trial.latency_us), y: 100 * trial.accuracy, name: "trial " + trial.number });

  function networks(list, label, name, style) {
    return {
      label: label, pointStyle: style, radius: 7, hoverRadius: 9, borderWidth: 1.5,
      backgroundColor: colour(name), borderColor: colour("card"),
      data: list.map((one) => ({ x: ms(one.measured_us), y: 100 * one.accuracy, name: one.name })),
    };
  }

  function drawFront() {
    const budget = ms(data.latency_budget_us);
    const target = 100 * data.accuracy_target;
    const bars = trained.map((one) => ({
      x: ms(one.measured_us), xs: [ms(one.measured_p10_us), ms(one.measured_p90_us)],
      y: 100 * one.accuracy, ys: [100 * one.accuracy_low, 100 * one.accuracy_high],
      colour: one.finalist ? "finalist" : "baseline",
    }));
    // The range holds every point and the lines; a long tail of one measurement may leave it.
    const points = complete.map(pointOf);
    const xs = points.map((point) => point.x).concat(budget * 1.02, bars.flatMap((bar) => [bar.x * 0.97, bar.x * 1.05]));
    const ys = points.map((point) => point.y).concat(bars.flatMap((bar) => bar.ys), target > 0 ? target + 0.2 : []);
    draw("front", "scatter", [
      networks(finalists, "finalists: fully trained, measured", "finalist", "rectRot"),
      networks(baselines, "zoo baselines: fully trained, measured", "baseline", "triangle"),
      { label: "trials: short training, LUT latency", pointStyle: "circle", radius: dot, backgroundColor: colour("trial"),
        order: 1, data: points },
      { label: "Pareto front of the trials", type: "line", stepped: true, pointRadius: 0, borderWidth: 2, pointStyle: "line",
        borderColor: colour("front"), data: data.front.map((index) => pointOf(data.trials[index])) },
    ], {
      x: axis("latency, ms", { suggestedMin: Math.min(...xs), suggestedMax: Math.max(...xs) }),
      y: axis("top-1 accuracy, %", { suggestedMin: Math.min(...ys), suggestedMax: Math.max(...ys) }),
    }, {
      marks: { x: budget, y: target, bars: bars, band: [ms(data.subspace_low_us), ms(data.subspace_high_us)] },
      tooltip: { callbacks: { label: (item) => `${item.raw.name}: ${item.raw.y.toFixed(2)} %, ${item.raw.x.toFixed(3)} ms` } },
    });
  }

  function drawProgress() {
    let best = Infinity;
    const steps = complete.map((trial) => ({ x: trial.number, y: (best = Math.min(best, trial.value)) }));
    draw("progress", "scatter", [
      { label: "one trial", radius: dot, pointStyle: "circle", backgroundColor: colour("trial"), order: 1,
        data: complete.map((trial) => ({ x: trial.number, y: trial.value })) },
      { label: "best so far", type: "line", stepped: true, pointRadius: 0, borderWidth: 2, pointStyle: "line",
        borderColor: colour("finalist"), data: steps },
    ], { x: axis("trial", { ticks: { precision: 0 } }), y: axis("objective, lower is better") });
  }

  function drawCurves() {
    const dashes = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
    const count = { finalist: 0, baseline: 0 };
    // A line needs two epochs; one shows as a point.
    const epochs = Math.max(0, ...data.networks.map((one) => one.curve.length));
    draw("curves", "line", data.networks.filter((one) => one.curve.length).map((one) => {
      const kind = one.finalist ? "finalist" : "baseline";
      return {
        label: one.name, data: one.curve.map((accuracy) => 100 * accuracy),
        borderColor: colour(kind), backgroundColor: colour(kind), borderWidth: one.finalist ? 2.5 : 1.5,
        borderDash: dashes[count[kind]++ % dashes.length],
        pointStyle: epochs > 1 ? "line" : one.finalist ? "rectRot" : "triangle",
        pointRadius: epochs > 1 ? 0 : 6, pointHitRadius: 6,
      };
    }), {
      x: axis("epoch", { ticks: { maxRotation: 0, autoSkipPadding: 12 } }), y: axis("test accuracy, %"),
    }, { legend: legend(epochs > 1 ? { pointStyleWidth: 28 } : {}) }, Array.from({ length: epochs }, (_, i) => i + 1));
  }

  function drawLatency() {
    const pairs = data.lut_check.map((pair) => ({ x: ms(pair[0]), y: ms(pair[1]) }));
    const values = data.lut_check.flat().map(ms);
    const [low, top] = [0.92 * Math.min(...values), 1.06 * Math.max(...values)];
    const range = { min: low, max: top, ticks: { includeBounds: false } };
    draw("latency", "scatter", [
      { label: "a network", radius: 4.5, pointStyle: "rectRot", backgroundColor: colour("finalist"), data: pairs },
      { label: "exact", type: "line", pointRadius: 0, borderWidth: 1.5, pointStyle: "line", borderDash: [4, 3],
        borderColor: colour("muted"), data: [{ x: low, y: low }, { x: top, y: top }] },
    ], { x: axis("predicted, ms", range), y: axis("measured end to end, ms", range) });
  }

  function drawSubspaces() {
    const edges = [0, ...data.edges_us, Infinity];
    const text = (us) => ms(us).toFixed(2);
    const labels = data.bucket_counts.map((_, i) => {
      if (i === 0) return "< " + text(edges[1]);
      return edges[i + 1] === Infinity ? "≥ " + text(edges[i]) : text(edges[i]) + "–" + text(edges[i + 1]);
    });
    const above = data.bucket_networks.length ? data.bucket_networks.map((n) => n.toPrecision(2).replace("e+", "e")) : data.bucket_counts;
    const searched = (i) => edges[i] < data.subspace_high_us && edges[i + 1] > data.subspace_low_us;
    draw("subspaces", "bar", [{
      label: "candidates", data: data.bucket_counts, borderRadius: 3,
      backgroundColor: data.bucket_counts.map((_, i) => colour(searched(i) ? "finalist" : "rest")),
    }], {
      x: axis("latency, ms", { grid: { display: false }, ticks: { font: { size: 11 } } }), y: axis("candidates", { grace: "8%" }),
    }, { legend: { display: false }, marks: { counts: above } }, labels);
  }

  function drawAll() {
    while (charts.length) charts.pop().destroy();
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    [drawFront, drawProgress, drawCurves, drawLatency, drawSubspaces].forEach((one) => one());
  }

  drawAll();
  narrow.addEventListener("change", drawAll);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
})();
