"use strict";
/* The page that compares: two choices, an address that holds them, a table. Names enter as text nodes only. */
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const choice = document.getElementById("choice"), result = document.getElementById("result");
  const row = (name) => data.rows.find((r) => r.name === name);
  const percent = (value) => (value === null ? "–" : `${(100 * value).toFixed(1)}%`);
  const points = (value) => (value === null ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(1)}`);
  function el(name, attributes, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }
  function verdict(found) {
    if (found.holm === null) return ["–", ""];
    if (found.holm >= 0.05) return ["not told apart", ""];
    const better = (found.difference > 0) === (found.metric.direction === "higher");
    return better ? ["b is better", "good"] : ["a is better", "bad"];
  }
  function line(found) {
    const [words, kind] = verdict(found);
    return el("tr", {},
      el("th", { scope: "row", title: `${found.metric.sentence} ${found.metric.formula}` }, `${found.metric.name} ${found.metric.direction === "higher" ? "↑" : "↓"}`),
      ...[percent(found.a), percent(found.b)].map((text) => el("td", { class: "n" }, text)),
      el("td", { class: "n value", "data-exact": String(found.difference) }, points(found.difference)),
      el("td", { class: "n" }, found.low === null ? "–" : `${points(found.low)} to ${points(found.high)}`),
      el("td", { class: "n", "data-p": String(found.p) }, found.holm === null ? "–" : found.holm < 0.001 ? "< 0.001" : found.holm.toFixed(3)),
      el("td", { class: "n" }, String(found.n)), el("td", {}, words ? el("span", { class: `badge ${kind}` }, words) : ""));
  }
  function differs(a, b) {
    const [one, other] = [a, b].map((r) => data.tables.find((t) => t.id === r.table).alike);
    return Object.keys(one).filter((name) => one[name] !== other[name]).map((name) => el("li", {}, `${name}: ${one[name]} and ${other[name]}`));
  }
  function otherwise(a, b) {
    const found = Object.keys(a.settings).filter((name) => a.settings[name] !== b.settings[name]).map((name) => `${name} ${a.settings[name]} and ${b.settings[name]}`);
    return found.length ? [el("p", { class: "note" }, `These rows were made with different settings: ${found.join("; ")}. What differs below may come from that.`)] : [];
  }
  const SILENT = 60000, SLOW = 1000; // ms that a page of values may take, and that its words may take after it has loaded
  const asked = new Map(); // row → the promise of its values
  function values(r) { // in this page, or in one of their own
    if (r.values) return Promise.resolve(r.values);
    if (!asked.has(r)) asked.set(r, read(r).catch((error) => { asked.delete(r); throw error; })); // who asks again, tries again
    return asked.get(r);
  }
  function read(r) { // a page in a frame hands the values over: a page on a disk may fetch nothing. A lost one only loads, or not even that.
    return new Promise((done, fail) => {
      const frame = el("iframe", { src: `rows/${encodeURIComponent(r.name)}.values.html`, hidden: "", title: "values of a row" });
      let patience = setTimeout(end, SILENT);
      function end(text) {
        clearTimeout(patience);
        removeEventListener("message", hear);
        frame.remove();
        try { done(whole(r, JSON.parse(text))); } catch (error) { fail(error); }
      }
      function hear(event) { if (event.source === frame.contentWindow) end(event.data); }
      frame.addEventListener("load", () => { clearTimeout(patience); patience = setTimeout(end, SLOW); });
      addEventListener("message", hear);
      document.body.append(frame);
    });
  }
  function whole(r, { digest, values: found }) { // those that this build made, a value for each unit of the row's table
    if (digest !== r.digest) throw new Error("of another build");
    const { units } = data.tables.find((t) => t.id === r.table);
    for (const { key } of data.metrics) {
      const packed = found[key], letters = typeof packed === "string", length = (letters ? packed : packed.which).length;
      const fits = letters ? /^[01-]*$/.test(packed)
        : packed.numbers.every((value) => value === null || Number.isFinite(value)) && packed.which.every((n) => packed.numbers[n] !== undefined);
      if (!fits || length !== data.units[units[key]].length) throw new Error(key);
    }
    return found;
  }
  function lament(lost) {
    const again = el("button", { type: "button", class: "label" }, "Try again");
    again.addEventListener("click", () => { result.focus(); draw(); });
    result.replaceChildren(el("p", { class: "note bad" }, `These rows can't be compared: ${lost.length > 1 ? "files" : "a file"} of this site can't be read.`),
      el("ul", {}, ...lost.map((r) => el("li", {}, el("code", {}, `rows/${r.name}.values.html`), `, the values of ${r.model}`))),
      el("p", {}, "It is missing, damaged or of another build, or the network is gone. Try again, or choose other rows. If it stays so, the site has to be made anew with ",
        el("code", {}, "rsbench leaderboard build"), " and copied whole."), again);
  }
  async function draw() {
    const a = row(choice.elements.a.value), b = row(choice.elements.b.value);
    if (!a || !b) { result.replaceChildren(el("p", { class: "muted" }, "There are no rows to compare.")); return; }
    history.replaceState(null, "", `#a=${encodeURIComponent(a.name)}&b=${encodeURIComponent(b.name)}`);
    if (a === b) { result.replaceChildren(el("p", { class: "muted" }, "Choose two different rows.")); return; }
    if (a.table !== b.table) {
      const reasons = differs(a, b);
      result.replaceChildren(el("p", { class: "note bad" }, "These rows were not measured alike, so their difference says nothing about the models."),
        el("ul", {}, ...(reasons.length ? reasons : [el("li", {}, "one of them belongs to another section of the board")])));
      return;
    }
    result.replaceChildren(el("p", { class: "muted" }, "Reading the values of both rows …"));
    const [one, other] = await Promise.allSettled([values(a), values(b)]);
    if (row(choice.elements.a.value) !== a || row(choice.elements.b.value) !== b) return; // chosen anew meanwhile
    const lost = [[a, one], [b, other]].filter(([, { status }]) => status === "rejected").map(([r]) => r);
    if (lost.length) { lament(lost); return; }
    const found = pairs.compare(data, a.table, one.value, other.value);
    const heads = ["number", a.model, b.model, "difference (points)", "95 % interval", "p (Holm)", "n", ""];
    const notes = [a, b].filter((r) => r.standing === "self-reported").map((r) => el("p", { class: "note" }, `${r.name} is self-reported: nobody else can judge its replies.`));
    result.replaceChildren(...otherwise(a, b), ...notes, el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Differences" }, el("table", { class: "pairs" },
      el("thead", {}, el("tr", {}, ...heads.map((text, n) => (text ? el("th", { scope: "col", class: n && n < 7 ? "n" : "" }, text) : el("td", {}))))),
      el("tbody", {}, ...found.map(line)))));
  }
  function follow() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    for (const side of ["a", "b"]) if (row(wanted.get(side))) choice.elements[side].value = wanted.get(side);
    draw();
  }
  choice.addEventListener("submit", (event) => event.preventDefault());
  choice.addEventListener("change", draw);
  document.getElementById("swap").addEventListener("click", () => {
    const { a, b } = choice.elements;
    [a.value, b.value] = [b.value, a.value];
    draw();
  });
  addEventListener("hashchange", follow);
  const first = data.rows.length > 1 ? data.rows[1].name : "";
  if (first) choice.elements.b.value = first;
  follow();
})();
