"use strict";
// Brings the page to life, once it has been painted: without scripts it still reads, its tables are plain HTML.
(function () {
  const narrow = window.matchMedia("(max-width: 560px)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let study = null;
  const drawPlots = () => { if (study) lathe.plot(study, narrow.matches); };

  lathe.show = function (text) {
    study = lathe.read(text);
    drawPlots();
    lathe.table(study);
  };

  narrow.addEventListener("change", drawPlots);
  dark.addEventListener("change", drawPlots);
  // Paper is white, and shows the head of the table.
  for (const [event, printing] of [["beforeprint", true], ["afterprint", false]]) {
    window.addEventListener(event, () => {
      document.documentElement.classList.toggle("printing", printing);
      drawPlots();
      if (study) lathe.fillTable(printing);
    });
  }

  requestAnimationFrame(() => setTimeout(() => {
    lathe.show(document.getElementById("data").textContent);
    document.documentElement.classList.add("ready");
  }));
})();
