"use strict";
/* The report's page: fills the browser of items and lets cells and bars above open it. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const browser = itemBrowser(document.getElementById("items"), data);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-view]");
    if (!button) return;
    browser.view(button.dataset.view);
    document.getElementById("sec-items").scrollIntoView();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.activeElement.closest(".term")) document.activeElement.blur();
  });
  const definitions = document.getElementById("definitions"); // paper has no hints to point at
  let wereOpen = false;
  addEventListener("beforeprint", () => { wereOpen = definitions.open; definitions.open = true; });
  addEventListener("afterprint", () => { definitions.open = wereOpen; });
})();
