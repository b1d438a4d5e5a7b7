"use strict";
/* The board: sorting, filtering, choosing two rows. The address holds filters and order, so that a view can be sent. */
(() => {
  const form = document.getElementById("filters"), count = document.getElementById("count"), compare = document.getElementById("compare");
  const tables = [...document.querySelectorAll("table.board")];
  const lines = tables.flatMap((table) => [...table.tBodies[0].rows]);
  const fields = form ? [...form.querySelectorAll("input[name], select[name]")] : [];
  let order = null; // [column, direction]

  function value(line, column) {
    if (column === "name") return line.dataset.name.toLowerCase();
    if (column === "place") return line.dataset.place === "" ? null : Number(line.dataset.place);
    const text = line.dataset.values.split(",")[Number(column)];
    return text === "" ? null : Number(text);
  }
  function by(column, direction) {
    return (x, y) => {
      const [a, b] = [value(x, column), value(y, column)];
      if (a === b) return column === "0" ? (x.id < y.id ? -1 : 1) : by("0", -1)(x, y); // as the table was built
      if (a === null || b === null) return a === null ? 1 : -1; // what is missing stays last
      return (a < b ? -1 : 1) * direction;
    };
  }
  function sort(column, direction) {
    order = [column, direction];
    for (const table of tables) {
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort(by(column, direction)));
      for (const button of table.querySelectorAll("thead button")) {
        button.closest("th").setAttribute("aria-sort", button.dataset.sort !== column ? "none" : direction > 0 ? "ascending" : "descending");
      }
    }
    rule();
  }
  function rule() { // a heavier line where the next group begins among the rows to be seen, if the order keeps groups together
    const together = !order || order[0] === "0" || order[0] === "place";
    for (const table of tables) {
      let last = null;
      for (const line of table.tBodies[0].rows) {
        const own = line.hidden ? null : line.dataset.group || null;
        line.classList.toggle("first-of-group", together && own !== null && own !== last);
        last = own || last;
      }
    }
  }
  function filter() {
    const wanted = Object.fromEntries(fields.map((field) => [field.name, field.value.trim()]));
    const words = (wanted.search || "").toLowerCase();
    let shown = 0;
    for (const line of lines) {
      const fits = (!words || line.textContent.toLowerCase().includes(words))
        && fields.every((field) => field.name === "search" || !field.value || line.dataset[field.name] === field.value);
      line.hidden = !fits;
      shown += fits;
    }
    for (const card of document.querySelectorAll(".card.table")) card.hidden = ![...card.querySelectorAll("table.board tbody tr")].some((line) => !line.hidden);
    for (const part of document.querySelectorAll("section.part:has(.card.table)")) part.hidden = ![...part.querySelectorAll(".card.table")].some((card) => !card.hidden);
    rule();
    if (count) count.textContent = `${shown} of ${lines.length} rows`;
  }
  function say() {
    const words = new URLSearchParams();
    for (const field of fields) if (field.value) words.set(field.name, field.value);
    if (order) words.set("sort", `${order[0]}${order[1] > 0 ? "" : "-"}`);
    history.replaceState(null, "", words.size ? `#${words}` : location.pathname + location.search);
  }
  function follow() {
    const hash = location.hash.slice(1);
    if (!hash.includes("=")) return;
    const words = new URLSearchParams(hash);
    for (const field of fields) {
      const wanted = words.get(field.name) || "";
      if (field.tagName !== "SELECT" || [...field.options].some((option) => option.value === wanted)) field.value = wanted;
    }
    const found = /^(place|name|\d+)(-?)$/.exec(words.get("sort") || "");
    if (found && document.querySelector(`table.board button[data-sort="${found[1]}"]`)) sort(found[1], found[2] ? -1 : 1);
    filter();
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-sort]");
    if (!button) return;
    const column = button.dataset.sort, now = button.closest("th").getAttribute("aria-sort");
    const first = column === "name" || column === "place" ? 1 : -1;
    sort(column, now === "none" ? first : now === "descending" ? 1 : -1);
    say();
  });
  document.addEventListener("change", (event) => {
    if (!event.target.matches(".pick")) return;
    const picked = [...document.querySelectorAll(".pick:checked")];
    if (picked.length > 2) picked.find((box) => box !== event.target).checked = false;
    const names = [...document.querySelectorAll(".pick:checked")].map((box) => box.value);
    compare.hidden = names.length !== 2;
    if (names.length === 2) compare.href = `compare.html#a=${encodeURIComponent(names[0])}&b=${encodeURIComponent(names[1])}`;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.activeElement.closest(".term")) document.activeElement.blur();
  });
  if (form) {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => { filter(); say(); });
  }
  addEventListener("hashchange", follow);
  filter();
  follow();
})();
