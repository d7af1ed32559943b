"use strict";
// Draws the page's plots.
(function () {
  const charts = [];
  let data, trials, isNarrow, dot, trained, finalists, baselines;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const ms = (us) => us / 1000;

  // Points that would lie on one another are drawn once: of a hundred thousand, a few thousand are seen.
  function thin(points) {
    if (points.length <= 2000) return points;
    const [columns, rows] = [300, 150];
    const taken = new Uint8Array((columns + 1) * (rows + 1));
    const range = (key) => points.reduce(([low, top], one) => [Math.min(low, one[key]), Math.max(top, one[key])], [Infinity, -Infinity]);
    const [[left, right], [low, top]] = [range("x"), range("y")];
    return points.filter((one) => {
      const cell = Math.round(rows * (one.y - low) / (top - low || 1)) * (columns + 1)
        + Math.round(columns * (one.x - left) / (right - left || 1));
      return !taken[cell] && (taken[cell] = 1);
    });
  }

  // The top of an axis that a few trainings gone wrong do not stretch.
  function topOf(values) {
    const sorted = Float64Array.from(values).sort();
    const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
    return Math.min(at(1), at(0.9) + 0.6 * (at(0.9) - at(0)));
  }

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
        usePointStyle: true, boxHeight: 7, padding: isNarrow ? 8 : 14, ...labels,
        generateLabels: (chart) => chart.data.datasets.map((set, i) => ({
          text: set.label, datasetIndex: i, hidden: !chart.isDatasetVisible(i), pointStyle: set.pointStyle,
          fontColor: colour("ink"), fillStyle: set.backgroundColor,
          strokeStyle: set.pointStyle === "line" ? set.borderColor : set.backgroundColor,
          lineWidth: set.borderWidth || 0, lineDash: set.borderDash || [],
        })).filter((item, i, all) => chart.data.datasets[item.datasetIndex].data.length
          && all.findIndex((other) => other.text === item.text) === i),
      },
      // Lines of one name come and go together.
      onClick: (_, item, { chart }) => {
        const visible = chart.isDatasetVisible(item.datasetIndex);
        chart.data.datasets.forEach((set, i) => { if (set.label === item.text) chart.setDatasetVisibility(i, !visible); });
        chart.update();
      },
    };
  }

  function draw(id, type, datasets, scales, plugins, labels, options) {
    const canvas = document.getElementById(id);
    if (!canvas) return;  // nothing to show there yet
    charts.push(new Chart(canvas, {
      type: type, data: { labels: labels, datasets: datasets }, plugins: [marks],
      options: {
        animation: false, responsive: true, maintainAspectRatio: false, scales: scales,
        onClick: (_, items, chart) => {
          const points = items.map((item) => chart.data.datasets[item.datasetIndex].data[item.index]);
          const point = points.find((one) => one.trial >= 0);  // a finalist may lie over its trial
          if (point) lathe.showTrial(point.trial);
        },
        plugins: { legend: legend(), ...plugins }, ...options,
      },
    }));
  }

  const nameOf = (i) => "trial " + trials.number[i];
  const pointOf = (i) => ({ x: ms(trials.latency_us[i]), y: 100 * trials.accuracy[i], name: nameOf(i), trial: i });

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
    const points = thin(data.complete.map(pointOf));
    const xs = points.map((point) => point.x).concat(budget * 1.02, bars.flatMap((bar) => [bar.x * 0.97, bar.x * 1.05]));
    const ys = points.map((point) => point.y).concat(bars.flatMap((bar) => bar.ys), target > 0 ? target + 0.2 : []);
    draw("front", "scatter", [
      networks(finalists, "finalists: fully trained, measured", "finalist", "rectRot"),
      networks(baselines, "zoo baselines: fully trained, measured", "baseline", "triangle"),
      { label: "trials: short training, LUT latency", pointStyle: "circle", radius: dot, backgroundColor: colour("trial"),
        order: 1, data: points },
      { label: "Pareto front of the trials", type: "line", stepped: true, pointRadius: 0, borderWidth: 2, pointStyle: "line",
        borderColor: colour("front"), data: data.front.map(pointOf) },
    ], {
      x: axis("latency, ms", { suggestedMin: Math.min(...xs), suggestedMax: Math.max(...xs) }),
      y: axis("top-1 accuracy, %", { suggestedMin: Math.min(...ys), suggestedMax: Math.max(...ys) }),
    }, {
      marks: { x: budget, y: target, bars: bars, band: [ms(data.subspace_low_us), ms(data.subspace_high_us)] },
      tooltip: { callbacks: { label: (item) => `${item.raw.name}: ${item.raw.y.toFixed(2)} %, ${item.raw.x.toFixed(3)} ms` } },
    });
  }

  function drawProgress() {
    const points = data.complete.map((i) => ({ x: trials.number[i], y: trials.value[i], name: nameOf(i), trial: i }));
    if (!points.length) return;
    const steps = [];
    for (const point of points) if (!steps.length || point.y < steps[steps.length - 1].y) steps.push(point);
    steps.push({ ...steps[steps.length - 1], x: points[points.length - 1].x });
    const top = topOf(points.map((point) => point.y));
    const above = points.filter((point) => point.y > top).length;
    draw("progress", "scatter", [
      { label: above ? `one trial (${above} lie above)` : "one trial", radius: dot, pointStyle: "circle",
        backgroundColor: colour("trial"), order: 1, data: thin(points.filter((point) => point.y <= top)) },
      { label: "best so far", type: "line", stepped: true, pointRadius: 0, borderWidth: 2, pointStyle: "line",
        borderColor: colour("finalist"), data: steps },
    ], { x: axis("trial", { ticks: { precision: 0 } }), y: axis("objective, lower is better", { max: top }) }, {
      tooltip: { callbacks: { label: (item) => `${item.raw.name}: ${item.raw.y.toFixed(4)}` } },
    });
  }

  // The mean accuracy of each choice of a gene, as lines of a tooltip.
  function choicesOf(name) {
    const gene = trials.genes.find((one) => one.name === name);
    const sums = gene.names.map((choice) => ({ choice: choice, sum: 0, count: 0 }));
    for (const i of data.complete) {
      sums[gene.at[i]].sum += trials.accuracy[i];
      ++sums[gene.at[i]].count;
    }
    return sums.filter((one) => one.count).sort((a, b) => a.choice - b.choice)
      .map((one) => `${one.choice}: ${(100 * one.sum / one.count).toFixed(2)} % on average of ${one.count}`);
  }

  function drawEffects() {
    const most = [...data.effects].sort((a, b) => Math.max(b.accuracy, b.latency) - Math.max(a.accuracy, a.latency)).slice(0, 12);
    const bars = (label, key, name) => ({
      label: label, backgroundColor: colour(name), borderRadius: 2, data: most.map((one) => 100 * one[key]),
    });
    draw("effects", "bar", [bars("accuracy", "accuracy", "finalist"), bars("latency by the LUT", "latency", "baseline")], {
      x: axis("explained, %", { min: 0 }), y: axis("", { title: { display: false }, grid: { display: false }, ticks: { autoSkip: false } }),
    }, {
      tooltip: { callbacks: {
        label: (item) => `${item.dataset.label}: ${item.raw.toFixed(1)} %`,
        afterBody: (items) => choicesOf(items[0].label),
      } },
    }, most.map((one) => one.gene), { indexAxis: "y" });
  }

  function drawTrialCurves() {
    const values = data.curves.flatMap((curve) => curve.points.map((point) => point[1])).filter(Number.isFinite);
    if (!values.length) return;
    const single = data.curves.every((curve) => curve.points.length < 2);
    draw("trial-curves", "scatter", data.curves.map((curve) => {
      const complete = curve.state === "COMPLETE";
      const shade = colour(complete ? "finalist" : curve.state === "RUNNING" ? "baseline" : "trial");
      return {
        label: curve.state.toLowerCase(), type: "line", borderColor: shade, backgroundColor: shade, borderWidth: complete ? 1.5 : 1,
        borderDash: complete ? [] : [4, 3], order: complete ? 0 : 1,
        pointStyle: single ? "circle" : "line", pointRadius: single ? 4 : 0, pointHitRadius: 4,
        data: curve.points.map(([x, y]) => ({ x: x, y: y, name: "trial " + curve.trial })),
      };
    }), {
      x: axis("epoch", { ticks: { precision: 0 } }), y: axis("objective, lower is better", { max: topOf(values) }),
    }, { tooltip: { callbacks: { label: (item) => `${item.raw.name}: ${item.raw.y.toFixed(4)}` } } });
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

  function drawStudies() {
    const colours = ["finalist", "baseline", "front", "budget", "trial"], styles = ["circle", "triangle", "rectRot", "rect", "star"];
    draw("studies", "scatter", data.studies.map((study, i) => ({
      label: study.title, type: "line", stepped: true, pointStyle: styles[i % 5], pointRadius: 4, borderWidth: 2,
      borderColor: colour(colours[i % 5]), backgroundColor: colour(colours[i % 5]),
      data: study.front.map(([latency_us, accuracy]) => ({ x: ms(latency_us), y: 100 * accuracy })),
    })), { x: axis("latency by the LUT, ms"), y: axis("top-1 accuracy after short training, %") });
  }

  lathe.plot = function (study, narrow) {
    while (charts.length) charts.pop().destroy();
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    [data, trials, isNarrow] = [study, study.trials, narrow];
    if (data.studies) return drawStudies();
    dot = data.complete.length > 2000 ? 1.5 : data.complete.length > 200 ? 2 : 3.5;
    trained = data.networks.filter((network) => network.accuracy > 0);
    finalists = trained.filter((network) => network.finalist);
    baselines = trained.filter((network) => !network.finalist);
    for (const one of [drawFront, drawProgress, drawEffects, drawTrialCurves, drawCurves, drawLatency, drawSubspaces]) one();
  };
})();
