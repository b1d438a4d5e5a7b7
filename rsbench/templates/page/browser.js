"use strict";
/* The browser of items: filters, a list, one reply step by step. Reusable on any page with this data:

   { items: {id: {query, note, key_element, trigger_element, images, reference}},
     replies: [{item, pair, category, kind, sample, status, chain, answered, …, steps, answer, reply, verdict}],
     images: {name: url}, withheld: whether image or query was withheld, hidden: pattern of characters that hide or reorder text }

   Text enters the page as text nodes only. Unsafe and unjudged words lie behind a fold. */
function itemBrowser(root, data) {
  const SHORT = 4000, MANY_ROWS = 300, MANY_STEPS = 100, STRIP = 16;
  const hidden = new RegExp(data.hidden, "gu");
  const several = data.replies.some((reply) => reply.sample > 0);
  const VIEWS = {
    all: ["All", () => true],
    unsafe: ["Unsafe only", (r) => r.unsafe],
    mismatch: ["Unsafe chain, safe answer", (r) => r.chain === "unsafe" && r.answered === "safe"],
    late: ["Safe chain, unsafe answer", (r) => r.chain === "safe" && r.answered === "unsafe"],
    refused: ["Benign, refused", (r) => r.kind === "benign" && r.full_refusal === true],
    good: ["Safe and effective", (r) => r.headline === true],
    unscored: ["Not scored", (r) => r.headline === null],
  };
  const CUTS = { thinking: "Reasoning: the model's own thinking", numbered: "Reasoning, cut at its numbered steps", paragraphs: "Reasoning, cut at paragraphs", sentences: "Reasoning, cut at sentences" };
  if (data.withheld) for (const name of ["refused", "good", "unscored"]) delete VIEWS[name]; // they presuppose the risk of both
  const state = { view: "all", rows: MANY_ROWS, matches: [], current: null, open: false };

  // ---- small builders; a string always becomes a text node
  function el(tag, options, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(options || {})) {
      if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value != null) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child != null && child !== ""));
    return node;
  }
  function number(character) { return "⟨U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩"; }
  function visible(text) {
    const parts = [];
    let from = 0;
    for (const found of text.matchAll(hidden)) {
      parts.push(text.slice(from, found.index), el("span", { class: "hidden-char", title: "hidden character" }, number(found[0])));
      from = found.index + found[0].length;
    }
    return [...parts, text.slice(from)].filter((part) => part !== "");
  }
  function marked(text, evidence) {
    const at = evidence && evidence.length < text.trim().length ? text.indexOf(evidence) : -1;
    if (at < 0) return visible(text);
    const end = at + evidence.length;
    return [...visible(text.slice(0, at)), el("mark", { title: "the judge's evidence" }, ...visible(evidence)), ...visible(text.slice(end))];
  }
  function textBox(text, { evidence = "", className = "" } = {}) {
    const box = el("div", { class: ("text " + className).trim(), dir: "auto" });
    if (text.length <= SHORT) {
      box.append(...marked(text, evidence));
      return box;
    }
    let cut = SHORT;
    if (/[\ud800-\udbff]/.test(text[cut - 1])) cut -= 1; // not in the middle of a character
    const words = "Show all " + text.length.toLocaleString("en") + " characters";
    const more = el("button", { type: "button", class: "ib-plain", on: { click: () => box.replaceChildren(...marked(text, evidence)) } }, words);
    box.append(...marked(text.slice(0, cut), evidence), "… ", more);
    return box;
  }
  function tag(text, className) { return el("span", { class: "badge " + (className || "") }, ...visible(text)); }
  function fold(summary, className, make) {
    const details = el("details", { class: className }, el("summary", {}, summary));
    details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) details.append(...make()); });
    return details;
  }

  // ---- filters
  function test() {
    const [kind, first, second] = state.view.split(":");
    if (kind === "cell") return (r) => r.chain === first && r.answered === second;
    if (kind === "first") return (r) => r.first_unsafe === Number(first);
    if (kind === "role") return (r) => r.first_unsafe_role === first;
    return VIEWS[kind][1];
  }
  function viewName() {
    const [kind, first, second] = state.view.split(":");
    if (kind === "cell") return `Chain ${first}, answer ${second}`;
    if (kind === "first") return `First unsafe step: ${first}`;
    if (kind === "role") return `First unsafe step: ${first}`;
    return VIEWS[kind][0];
  }
  const haystacks = new Map(); // filled by the first search, kept for the next letter of it
  function haystack(reply) {
    if (!haystacks.has(reply)) {
      const item = data.items[reply.item];
      const said = reply.reply ? [reply.reply.text, reply.reply.reasoning] : [];
      haystacks.set(reply, [reply.item, reply.category, item ? item.query : "", ...said].join("\n").toLowerCase());
    }
    return haystacks.get(reply);
  }
  function choices(name) {
    const counts = new Map();
    for (const reply of data.replies) counts.set(reply[name], (counts.get(reply[name]) || 0) + 1);
    return [...counts].sort((a, b) => (a[0] < b[0] ? -1 : 1));
  }
  function select(name, label) {
    const options = choices(name).map(([value, count]) => el("option", { value }, `${value.replace(hidden, number)} (${count})`));
    const node = el("select", { name, on: { change: () => refresh() } }, el("option", { value: "" }, "any"), ...options);
    return [node, el("label", {}, label, node)];
  }
  const search = el("input", { type: "search", placeholder: "id, query or reply", autocomplete: "off", spellcheck: "false", on: { input: () => refresh() } });
  const [category, categoryLabel] = select("category", "Category");
  const [kind, kindLabel] = select("kind", "Kind");
  const [status, statusLabel] = select("status", "Status");
  const views = el("div", { class: "ib-views", role: "group", "aria-label": "Show" });
  const count = el("span", { role: "status" });
  const list = el("ol", { class: "ib-list", "aria-label": "Items" });
  const article = el("article", { class: "ib-item", tabindex: "-1", "aria-label": "Item" });
  const openAll = el("input", { type: "checkbox", on: { change: () => { state.open = openAll.checked; if (state.current) draw(state.current); } } });

  function refresh() {
    const words = search.value.trim().toLowerCase();
    const wanted = test();
    state.matches = data.replies.filter((r) => wanted(r)
      && (!category.value || r.category === category.value)
      && (!kind.value || r.kind === kind.value)
      && (!status.value || r.status === status.value)
      && (!words || haystack(r).includes(words)));
    state.rows = MANY_ROWS;
    drawViews();
    drawList();
    if (state.matches.length && !state.matches.includes(state.current)) select_(state.matches[0], false);
    if (!state.matches.length) { state.current = null; article.replaceChildren(el("p", { class: "muted" }, "Nothing fits these filters.")); }
  }
  function drawViews() {
    const custom = state.view.includes(":") ? [[state.view, [viewName(), test()]]] : [];
    views.replaceChildren(...[...Object.entries(VIEWS), ...custom].map(([name, [label, fits]]) => el(
      "button", { type: "button", "data-name": name, "aria-pressed": String(name === state.view), on: { click: () => view(name) } },
      label, el("span", { class: "count" }, String(data.replies.filter(fits).length)))));
    count.textContent = `${state.matches.length} of ${data.replies.length} ${several ? "replies" : "items"}`;
  }
  function view(name) {
    if (!name.includes(":") && !VIEWS[name]) return;
    state.view = name;
    refresh();
  }

  // ---- the list
  function address(reply) { return encodeURIComponent(reply.item) + (reply.sample ? "~" + reply.sample : ""); }
  function at(hash) {
    let wanted = hash.replace(/^#/, "");
    try { wanted = decodeURIComponent(wanted); } catch { return null; }
    return data.replies.find((r) => r.item === wanted && r.sample === 0)
      || data.replies.find((r) => r.sample && r.item + "~" + r.sample === wanted) || null;
  }
  function strip(reply) {
    const words = reply.steps.map((step) => (step.label ? step.label.safety : "none"));
    const answer = reply.answer && reply.answer.label ? reply.answer.label.safety : "none";
    const text = `steps: ${words.join(", ") || "none"}; answer: ${answer}`;
    return el("span", { class: "strip", role: "img", "aria-label": text.slice(0, 300), title: text.slice(0, 300) },
      ...words.slice(0, STRIP).map((word) => el("i", { class: word })), words.length > STRIP ? "…" : "", el("i", { class: "answer " + answer }));
  }
  function row(reply) {
    const about = [reply.kind, reply.category, reply.status === "ok" ? "" : reply.status].filter(Boolean).join(" · ");
    return el("li", {}, el("a", { href: "#" + address(reply), "aria-current": String(reply === state.current), on: { click: (event) => { event.preventDefault(); select_(reply, true); reveal(); } } },
      el("span", { class: "id" }, ...visible(reply.item), reply.sample ? ` · sample ${reply.sample}` : ""),
      el("span", { class: "sub" }, el("span", {}, ...visible(about)), strip(reply))));
  }
  function drawList() {
    const rows = state.matches.slice(0, state.rows).map(row);
    if (state.matches.length > state.rows) {
      const rest = state.matches.length - state.rows;
      const more = el("button", { type: "button", class: "ib-plain", on: { click: () => { state.rows += MANY_ROWS; drawList(); } } }, `Show ${Math.min(rest, MANY_ROWS)} more of ${rest}`);
      rows.push(el("li", { class: "more" }, more));
    }
    list.replaceChildren(...rows);
  }
  function link(reply) {
    const place = state.matches.indexOf(reply);
    if (place >= state.rows) { state.rows = place + MANY_ROWS; drawList(); }
    return place < 0 ? null : list.children[place].firstChild;
  }
  function select_(reply, say) {
    const old = state.current && link(state.current);
    if (old) old.setAttribute("aria-current", "false");
    state.current = reply;
    const now = link(reply);
    if (now) {
      now.setAttribute("aria-current", "true");
      const box = list.getBoundingClientRect(), line = now.getBoundingClientRect();
      if (line.top < box.top || line.bottom > box.bottom) list.scrollTop += line.top - box.top - box.height / 3;
    }
    if (say) history.replaceState(null, "", "#" + address(reply));
    draw(reply);
  }
  function reveal() {
    if (matchMedia("(max-width: 860px)").matches) article.scrollIntoView();
  }
  function move(by) {
    if (!state.matches.length) return;
    const place = state.matches.indexOf(state.current);
    const next = state.matches[Math.min(Math.max(place + by, 0), state.matches.length - 1)];
    select_(next, true);
    if (list.contains(document.activeElement)) link(next).focus({ preventScroll: true });
    if (article.getBoundingClientRect().top > innerHeight - 80 || article.getBoundingClientRect().bottom < 80) root.scrollIntoView();
  }

  // ---- one reply
  function said(reply, place) { return reply.reply[place.part].slice(place.start, place.end); }
  function head(title, label, text) {
    if (!label) return el("div", { class: "step-head" }, el("span", { class: "number" }, title), el("span", {}, "no label"));
    const extra = [label.role, label.names_risk ? "names the risk" : "",
      label.corrects && label.corrects.length ? "takes back " + label.corrects.join(", ") : "",
      label.refusal && label.refusal !== "none" ? label.refusal + " refusal" : "",
      label.evidence && label.evidence.trim() === text.trim() ? "evidence: all of it" : ""].filter(Boolean);
    return el("div", { class: "step-head" }, el("span", { class: "number" }, title),
      el("span", { class: "word " + label.safety }, label.safety),
      el("span", { class: "word " + label.effectiveness }, label.effectiveness),
      ...extra.map((text) => el("span", {}, text)));
  }
  function evidence(label, text) {
    if (!label || !label.evidence || !text.trim()) return "";
    if (label.evidence.trim() === text.trim()) return ""; // said in the head
    if (text.includes(label.evidence)) return el("p", { class: "why" }, "Evidence: the words underlined.");
    return el("div", { class: "why" }, "Evidence:", textBox(label.evidence));
  }
  function reason(label) {
    if (!label || !label.reason) return "";
    return el("div", { class: "why" }, "Reason:", textBox(label.reason, { className: "reason" }));
  }
  function piece(tagName, title, reply, place) {
    const text = said(reply, place), label = place.label;
    const safety = label ? label.safety : "none";
    const body = () => (text.trim() ? [textBox(text, { evidence: label ? label.evidence : "" }), evidence(label, text), reason(label)] : [el("p", { class: "muted" }, "(no words)")]).filter(Boolean);
    const node = el(tagName, { class: "step " + safety }, head(title, label, text));
    if (safety === "safe" || safety === "unclear" || !text.trim()) node.append(...body());
    else {
      const details = fold(label ? "Unsafe: show the text" : "Not judged: show the text", "fold", body);
      if (state.open) details.open = true;
      node.append(details);
    }
    return node;
  }
  function steps(reply) {
    const pieces = reply.steps.map((place, n) => [`Step ${n + 1}`, place]);
    const box = el("ol", { class: "ib-steps" }, ...pieces.slice(0, MANY_STEPS).map(([title, place]) => piece("li", title, reply, place)));
    if (pieces.length <= MANY_STEPS) return [box];
    const more = el("button", { type: "button", class: "ib-plain" }, `Show the other ${pieces.length - MANY_STEPS} steps`);
    more.addEventListener("click", () => { more.remove(); box.append(...pieces.slice(MANY_STEPS).map(([title, place]) => piece("li", title, reply, place))); });
    return [box, more];
  }
  function scene(item) {
    if (!item) return el("p", { class: "muted" }, "Picture and query are not in this report: the task's files were not there, or had changed.");
    const figures = item.images.map((image) => el("figure", {}, el("img", { src: data.images[image.picture], alt: image.caption || "picture without a caption" }),
      image.caption ? el("figcaption", {}, ...visible(image.caption)) : ""));
    return el("div", { class: "ib-scene" }, ...figures,
      el("div", { class: "ib-query" }, el("p", { class: "ib-label" }, "Query"), el("blockquote", {}, textBox(item.query))));
  }
  function reference(item) {
    if (!item || !item.reference) return "";
    return fold("Reference path: one safe and effective way", "ib-extra", () => [
      el("ol", {}, ...item.reference.steps.map((step) => el("li", {}, el("span", { class: "muted" }, step.role + ": "), ...visible(step.text)))),
      el("p", {}, el("strong", {}, "Answer: "), ...visible(item.reference.answer))]);
  }
  function about(item) {
    if (!item || !(item.note || item.key_element)) return "";
    const known = [["Note", item.note], ["Key element of the picture", item.key_element], ["Trigger in the query", item.trigger_element]];
    return fold("What is known of the item", "ib-extra", () => known.filter((pair) => pair[1]).map(([name, text]) => el("p", {}, el("strong", {}, name + ": "), ...visible(text))));
  }
  function raw(reply) {
    const parts = [["Thinking", reply.reply.reasoning], ["Text", reply.reply.text]].filter((part) => part[1]);
    if (!parts.length) return "";
    return fold("The reply as it came, uncut", "ib-extra", () => parts.flatMap(([name, text]) => [el("p", { class: "ib-label" }, name), textBox(text, { className: "raw" })]));
  }
  function words(reply) {
    const verdict = reply.verdict;
    if (!verdict || !verdict.raw) return "";
    return fold("The judge's own words", "ib-extra", () => [textBox(verdict.raw, { className: "raw" })]);
  }
  function trouble(reply) {
    const lines = [];
    if (!reply.reply) lines.push("There is no reply yet.");
    else if (reply.reply.error) lines.push("Error: " + reply.reply.error);
    if (reply.verdict && reply.verdict.status !== "ok") lines.push(`The judge's verdict is ${reply.verdict.status} after ${reply.verdict.attempts} attempts: ${reply.verdict.error}`);
    else if (reply.reply && !reply.verdict && (reply.status === "missing")) lines.push("Not judged yet.");
    return lines.map((line) => el("div", { class: "note" }, textBox(line)));
  }
  function draw(reply) {
    const item = data.items[reply.item];
    const twins = data.replies.filter((r) => r.pair && r.pair === reply.pair && r.sample === reply.sample && r.item !== reply.item);
    const jump = (label, by) => el("button", { type: "button", class: "ib-plain", "aria-label": label === "←" ? "Previous item" : "Next item", on: { click: () => move(by) } }, label);
    article.replaceChildren(
      el("div", { class: "ib-head" }, el("h3", {}, ...visible(reply.item), reply.sample ? ` · sample ${reply.sample}` : ""), el("span", { class: "ib-move" }, jump("←", -1), " ", jump("→", 1))),
      el("div", { class: "ib-tags" }, tag(reply.kind, reply.kind === "risky" ? "warn" : ""), tag(reply.category), tag("status " + reply.status, reply.status === "ok" ? "" : "bad"),
        data.withheld ? "" : reply.headline === null ? tag("not scored", "warn") : reply.headline ? tag("safe and effective path", "good") : tag("not a safe and effective path"),
        reply.kind === "risky" && reply.risk_identified !== null ? tag(reply.risk_identified ? "risk identified" : "risk not identified", reply.risk_identified ? "good" : "") : "",
        ...twins.map((twin) => el("a", { class: "small", href: "#" + address(twin), on: { click: (event) => { event.preventDefault(); go(twin); } } }, "see its twin"))),
      ...trouble(reply), scene(item));
    if (reply.reply) {
      const nothing = !reply.steps.length && !(reply.answer && said(reply, reply.answer).trim());
      if (reply.steps.length) article.append(el("p", { class: "ib-label" }, CUTS[reply.source] || "Reasoning"), ...steps(reply));
      if (nothing) article.append(el("p", { class: "muted" }, "The reply holds no words."));
      else article.append(piece("div", "Answer", reply, reply.answer));
      article.append(...[reference(item), about(item), raw(reply), words(reply)].filter(Boolean));
    } else article.append(...[reference(item), about(item)].filter(Boolean));
  }

  // ---- going to an item, keys
  function go(reply) {
    if (!state.matches.includes(reply)) {
      search.value = category.value = kind.value = status.value = "";
      state.view = "all";
      refresh();
    }
    select_(reply, true);
  }
  function follow(scroll) {
    const reply = at(location.hash);
    if (!reply) return false;
    go(reply);
    if (scroll) article.scrollIntoView();
    return true;
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, select, textarea, [contenteditable]");
    if (typing) {
      if (event.key === "Escape" && event.target === search) { search.value = ""; refresh(); search.blur(); }
      return;
    }
    const arrows = list.contains(event.target) ? { ArrowDown: 1, ArrowUp: -1 } : {};
    const by = { j: 1, k: -1, ...arrows }[event.key];
    if (by) { event.preventDefault(); move(by); }
    if (event.key === "/") { event.preventDefault(); search.focus(); search.select(); root.scrollIntoView({ block: "start" }); }
  });
  addEventListener("hashchange", () => follow(true));

  root.append(
    el("div", { class: "ib-filters" }, el("label", { class: "search" }, "Search", search), categoryLabel, kindLabel, statusLabel), views,
    el("div", { class: "ib-bar" }, count,
      el("label", {}, openAll, " show unsafe and unjudged text"),
      el("span", { class: "ib-keys" }, el("kbd", {}, "j"), " ", el("kbd", {}, "k"), " next, previous · ", el("kbd", {}, "/"), " search")),
    el("div", { class: "ib" }, list, article));
  refresh();
  follow(true);
  return { view };
}
