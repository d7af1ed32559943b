"use strict";
// Makes the table of trials sortable and searchable: sorted and filtered in the data, a page of rows in the document.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const kRows = 200;
  const columns = ["number", "state", "accuracy", "loss", "latency_us", "value", "params", "macs", "seconds", "note"];
  const results = ["accuracy", "loss", "value"];  // known once a trial is complete
  const table = document.getElementById("trials");
  if (!table) return;
  const filter = document.getElementById("filter");
  let order = { column: "number", up: true };

  // What the cell shows, or null where it shows a dash.
  function valueOf(trial, column) {
    const value = trial[column];
    if (results.includes(column)) return trial.state === "COMPLETE" ? value : null;
    return typeof value === "number" && column !== "number" && value <= 0 ? null : value;
  }

  function short(value) {
    for (const [unit, name] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
      if (value >= 0.99995 * unit) return (value / unit).toFixed(1) + name;
    }
    return String(value);
  }

  const formats = {
    accuracy: (value) => (100 * value).toFixed(2), loss: (value) => value.toFixed(4), value: (value) => value.toFixed(4),
    latency_us: (value) => (value / 1000).toFixed(3), seconds: (value) => value.toFixed(1), params: short, macs: short,
  };

  const genes = (trial) => data.genes.map((gene, i) => gene + "=" + trial.encoding[i]);

  // "gene=3" asks for just that value; any other word may lie anywhere.
  function matches(trial, words) {
    const choices = genes(trial).join(" ").toLowerCase().split(" ");
    const text = [trial.number, trial.state, trial.note, ...choices].join(" ").toLowerCase();
    return words.every((word) => (/=./.test(word) ? choices.includes(word) : text.includes(word)));
  }

  // Dashes come last in either direction.
  function compare(a, b) {
    const [left, right] = [valueOf(a, order.column), valueOf(b, order.column)];
    if ((left === null) !== (right === null)) return left === null ? 1 : -1;
    if (left === right) return a.number - b.number;
    return left < right === order.up ? -1 : 1;
  }

  function rowOf(trial) {
    const row = document.createElement("tr");
    row.title = genes(trial).join(", ");
    for (const column of columns) {
      const cell = row.appendChild(document.createElement("td"));
      const value = valueOf(trial, column);
      cell.textContent = value === null ? "–" : (formats[column] || String)(value);
      if (column === "state") cell.className = "text state " + trial.state;
      if (column === "note") cell.className = "text wrap";
    }
    return row;
  }

  function fill() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = data.trials.filter((trial) => matches(trial, words)).sort(compare);
    table.tBodies[0].replaceChildren(...rows.slice(0, kRows).map(rowOf));
    document.getElementById("shown").textContent =
      rows.length > kRows ? `the first ${kRows} of ${rows.length} trials` : `${rows.length} of ${data.trials.length} trials`;
    table.querySelectorAll("th").forEach((head, i) => {
      if (columns[i] === order.column) head.setAttribute("aria-sort", order.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
  }

  table.querySelectorAll("th button").forEach((button, i) => {
    button.addEventListener("click", () => {
      order = { column: columns[i], up: order.column === columns[i] ? !order.up : true };
      fill();
    });
  });
  filter.addEventListener("input", fill);
  filter.hidden = false;
  fill();
})();
