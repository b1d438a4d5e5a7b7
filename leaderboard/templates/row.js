"use strict";
/* A row's page: the browser of items where its words are open; cells and bars above open it. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const place = document.getElementById("items");
  const browser = place && data.replies ? itemBrowser(place, data) : null;
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-view]");
    if (!button) return;
    if (browser) browser.view(button.dataset.view);
    document.getElementById("sec-items").scrollIntoView();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.activeElement.closest(".term")) document.activeElement.blur();
  });
})();
