"use strict";
// Makes the table of trials sortable and searchable: sorted and filtered in the data, only the rows in sight in the document.
(function () {
  const kSpare = 20;  // rows above and below those in sight
  const kPrinted = 200;
  const kHeight = 33;  // of a row, as in page.css
  const short = (value) => {
    for (const [unit, name] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
      if (value >= 0.99995 * unit) return (value / unit).toFixed(1) + name;
    }
    return String(value);
  };
  // In the order of the table: what a filter calls it, its column in the data, and how a number is shown. `unit`: of the
  // number in the data, by that of the table.
  const columns = [
    { name: "trial", of: "number", show: String },
    { name: "state", of: "state" },
    { name: "accuracy", of: "accuracy", unit: 100, show: (value) => (100 * value).toFixed(2) },
    { name: "loss", of: "loss", show: (value) => value.toFixed(4) },
    { name: "latency", of: "latency_us", unit: 1e-3, show: (value) => (value / 1000).toFixed(3) },
    { name: "objective", of: "value", show: (value) => value.toFixed(4) },
    { name: "params", of: "params", show: short },
    { name: "macs", of: "macs", show: short },
    { name: "seconds", of: "seconds", show: (value) => value.toFixed(1) },
    { name: "note", of: "note" },
  ];
  const comparisons = {
    "=": (a, b) => a === b, "!=": (a, b) => a !== b, "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b,
    ">=": (a, b) => a >= b,
  };
  let order = { column: columns[0], up: true };
  let study, table, view, filter, shown = [];

  // What the cell of a trial shows; a dash for what is not known.
  function textOf(column, i) {
    const values = study.trials[column.of];
    if (!column.show) return values.names[values.at[i]];
    return Number.isNaN(values[i]) ? "–" : column.show(values[i]);
  }

  // Which trials a word of the filter means, as a function of their index: "stage2.kernel=5" and "latency<0.3" compare;
  // any other word may lie anywhere.
  function meaning(word) {
    const match = /^([^<>=!]+)(<=|>=|!=|=|<|>)(.+)$/.exec(word);
    const compare = match && comparisons[match[2]];
    const gene = match && study.trials.genes.find((one) => one.name.toLowerCase() === match[1]);
    const column = match && columns.find((one) => one.name === match[1]);
    if (gene) {
      const fits = gene.names.map((name) => compare(name, Number(match[3])));
      return (i) => fits[gene.at[i]];
    }
    if (column && column.show) {
      const [values, asked] = [study.trials[column.of], Number(match[3])];
      const rounded = match[2] === "=" || match[2] === "!=";  // as shown, so that what one reads can be found
      const digits = column.unit ? (column.name === "latency" ? 3 : 2) : 4;
      return (i) => {
        const value = values[i] * (column.unit || 1);
        return !Number.isNaN(value) && compare(rounded ? Number(value.toFixed(digits)) : value, asked);
      };
    }
    if (column) {
      const fits = study.trials[column.of].names.map((name) => name.toLowerCase().includes(match[3]) === (match[2] !== "!="));
      return (i) => fits[study.trials[column.of].at[i]];
    }
    const choices = study.trials.genes.map((one) => one.names.map((name) => `${one.name}=${name}`.toLowerCase().includes(word)));
    const genes = study.trials.genes.map((one, k) => [one.at, choices[k]]).filter((pair) => pair[1].includes(true));
    const texts = ["state", "note"].map((name) => study.trials[name])
      .map((one) => [one.at, one.names.map((name) => name.toLowerCase().includes(word))]);
    const named = genes.concat(texts);
    return (i) => named.some(([at, fits]) => fits[at[i]]) || String(study.trials.number[i]).includes(word);
  }

  function find() {
    const meanings = filter.value.toLowerCase().split(/\s+/).filter(Boolean).map(meaning);
    const found = [];
    for (let i = 0; i < study.trials.count; ++i) if (meanings.every((means) => means(i))) found.push(i);
    return found;
  }

  // Dashes come last in either direction.
  function sort(found) {
    const values = study.trials[order.column.of];
    let keys = values;
    if (!order.column.show) {
      const sorted = [...values.names].sort();
      const ranks = values.names.map((name) => sorted.indexOf(name));
      keys = Float64Array.from(values.at, (at) => ranks[at]);
    }
    const sign = order.up ? 1 : -1;
    return found.sort((a, b) => {
      const [left, right] = [keys[a], keys[b]];
      if (left === right) return a - b;
      if (Number.isNaN(left) || Number.isNaN(right)) return Number.isNaN(left) - Number.isNaN(right) || a - b;
      return left < right ? -sign : sign;
    });
  }

  function rowOf(position) {
    const i = shown[position];
    const row = document.createElement("tr");
    row.setAttribute("aria-rowindex", position + 2);  // the head is the first
    for (const column of columns) {
      const cell = row.appendChild(document.createElement("td"));
      const text = textOf(column, i);
      if (column.name === "trial") {
        const button = cell.appendChild(document.createElement("button"));
        button.textContent = text;
        button.dataset.trial = i;
        button.title = "show this trial";
      } else {
        cell.textContent = text;
      }
      if (column.name === "state") cell.className = "text state " + text;
      if (column.name === "note") {
        cell.className = "text note";
        cell.title = text;
      }
    }
    return row;
  }

  function spacer(rows) {
    const row = document.createElement("tr");
    row.className = "spacer";
    row.setAttribute("aria-hidden", "true");
    row.style.height = rows * kHeight + "px";
    return row;
  }

  // Puts the rows in sight into the document. `all`: as many as are printed, from the first.
  function fill(all) {
    const body = table.tBodies[0];
        const first = all ? 0 : Math.max(0, Math.min(shown.length, Math.floor(view.scrollTop / kHeight)) - kSpare);
    const last = all ? Math.min(shown.length, kPrinted)
      : Math.min(shown.length, first + 2 * kSpare + Math.ceil(view.clientHeight / kHeight));
    const focused = body.contains(document.activeElement) ? document.activeElement.dataset.trial : null;
    const rows = [spacer(all ? 0 : first)];
    for (let position = first; position < last; ++position) rows.push(rowOf(position));
    rows.push(spacer(all ? 0 : shown.length - last));
    body.replaceChildren(...rows);
    if (focused !== null) body.querySelector(`button[data-trial="${focused}"]`)?.focus({ preventScroll: true });
  }

  function update() {
    shown = sort(find());
    const total = study.trials.count;
    document.getElementById("shown").textContent = shown.length === total ? `${total} trials` : `${shown.length} of ${total} trials`;
    table.setAttribute("aria-rowcount", shown.length + 1);
    table.querySelectorAll("th").forEach((head, i) => {
      if (columns[i] === order.column) head.setAttribute("aria-sort", order.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    fill(false);
  }

  function showTrial(i) {
    const panel = document.getElementById("trial");
    const entry = (list, label, text) => {
      list.appendChild(document.createElement("dt")).textContent = label;
      list.appendChild(document.createElement("dd")).textContent = text;
    };
    const list = document.createElement("dl");
    columns.slice(1).forEach((column) => entry(list, column.name, textOf(column, i)));
    study.trials.genes.forEach((gene) => entry(list, gene.name, String(gene.names[gene.at[i]])));
    const close = document.createElement("button");
    close.textContent = "close";
    close.addEventListener("click", () => {
      panel.hidden = true;
      (table.querySelector(`button[data-trial="${i}"]`) || view).focus();
    });
    const title = document.createElement("h3");
    title.textContent = "Trial " + study.trials.number[i];
    panel.replaceChildren(title, close, list);
    panel.hidden = false;
    close.focus();
    panel.scrollIntoView({ block: "nearest" });
  }

  function listen() {
    table.querySelectorAll("th button").forEach((button, i) => {
      button.addEventListener("click", () => {
        order = { column: columns[i], up: order.column === columns[i] ? !order.up : true };
        view.scrollTop = 0;
        update();
      });
    });
    table.tBodies[0].addEventListener("click", (event) => {
      const button = event.target.closest("button[data-trial]");
      if (button) showTrial(Number(button.dataset.trial));
    });
    let asked = false;
    view.addEventListener("scroll", () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; fill(false); });
    });
    filter.addEventListener("input", () => { view.scrollTop = 0; update(); });
    filter.hidden = false;
  }

  lathe.fillTable = (all) => { if (table) fill(all); };
  lathe.showTrial = (i) => { if (table) showTrial(i); };

  // Also called again, with newer data: what the reader chose stays.
  lathe.table = function (newer) {
    study = newer;
    const found = document.getElementById("trials");
    if (!found) return;
    if (found !== table) {
      table = found;
      view = document.getElementById("rows");
      filter = document.getElementById("filter");
      listen();
    }
    update();
  };
})();
