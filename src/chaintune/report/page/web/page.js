"use strict";
// Everything that comes from data reaches the page through textContent; nothing here parses markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const PORTION = 20;

  function make(tag, text, name) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  }

  // On a narrow screen the contents stand before the answer and would push it out of sight.
  if (window.matchMedia("(max-width: 71.99rem)").matches) byId("contents").open = false;

  // Figures: the still picture stays until the chart is drawn, and is what gets printed.

  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const views = new Map();

  async function draw(box) {
    const figure = box.closest("figure");
    const options = {
      actions: false, ast: true, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true },
      config: data.themes[dark.matches ? "dark" : "light"],
    };
    views.get(box)?.finalize();
    box.hidden = false;
    try {
      views.set(box, await window.vegaEmbed(box, data.figures[box.dataset.figure], options));
      // Said by the still picture, which stays in the tree for readers of screens.
      box.setAttribute("aria-hidden", "true");
      figure.classList.add("drawn");
    } catch (error) {
      box.hidden = true;
      figure.classList.remove("drawn");
      console.error(`figure ${box.dataset.figure}: ${error.message}`);
    }
  }

  async function drawAll() {
    delete document.documentElement.dataset.drawn;
    for (const box of document.querySelectorAll("[data-figure]")) await draw(box);
    document.documentElement.dataset.drawn = "yes";
  }

  for (const link of document.querySelectorAll("a.save")) {
    link.href = link.closest("figure").querySelector("img").src;
    link.hidden = false;
  }
  if (window.vegaEmbed) {
    drawAll();
    dark.addEventListener("change", drawAll);
  }

  // Examples.

  const { steps = [], items = [], flips = [] } = data.examples;
  if (!flips.length) return;
  const selects = { step: byId("by-step"), task: byId("by-task"), group: byId("by-group"), direction: byId("by-direction") };
  let shown = 0;

  function fill(select, first, entries) {
    const chosen = select.value;
    select.replaceChildren(new Option(first, ""), ...entries.map(([value, text]) => new Option(text, value)));
    select.value = entries.some(([value]) => value === chosen) ? chosen : "";
  }

  const groupsOf = (item) => Object.entries(item.groups).flatMap(([name, groups]) => groups.map((group) => [name, group]));

  function fillGroups() {
    const counts = new Map();
    for (const item of items) {
      if (selects.task.value && item.task !== selects.task.value) continue;
      for (const pair of groupsOf(item)) counts.set(JSON.stringify(pair), (counts.get(JSON.stringify(pair)) ?? 0) + 1);
    }
    const entries = [...counts.keys()].sort().map((key) => [key, JSON.parse(key).join(": ")]);
    fill(selects.group, "all", entries);
  }

  function matching() {
    const { step, task, group, direction } = selects;
    return flips.filter((flip) => {
      const item = items[flip.item];
      return (!step.value || flip.step === Number(step.value))
        && (!task.value || item.task === task.value)
        && (!group.value || groupsOf(item).some((pair) => JSON.stringify(pair) === group.value))
        && (!direction.value || flip.forgot === (direction.value === "forgot"));
    });
  }

  const percent = (value) => `${(100 * value).toFixed(1)} %`;

  function amount(value, unit) {
    return make("td", `${value} ${unit}`, "n");
  }

  function share(value, best) {
    const cell = make("td", undefined, best ? "n best" : "n");
    const bar = make("span", undefined, "bar");
    bar.style.width = `${100 * value}%`;
    cell.append(bar, make("span", percent(value), "number"));
    return cell;
  }

  function answers(flip, item) {
    const table = make("table");
    const head = table.createTHead().insertRow();
    for (const name of ["Choice", "Before", "After"]) {
      const cell = make("th", name, name === "Choice" ? "" : "n");
      cell.scope = "col";
      head.append(cell);
    }
    const body = table.createTBody();
    const best = [flip.before, flip.after].map((side) => side.indexOf(Math.max(...side)));
    const graded = flip.before.length === 1;
    flip.before.forEach((value, place) => {
      const row = body.insertRow();
      const name = make("th", graded ? "score" : item.choices?.[place] ?? `choice ${place + 1}`);
      name.scope = "row";
      if (place === item.gold) name.append(" ", make("span", "right answer", "gold"));
      const { unit } = steps[flip.step];
      const cells = graded && unit
        ? [value, flip.after[place]].map((side) => amount(side, unit))
        : [share(value, !graded && best[0] === place), share(flip.after[place], !graded && best[1] === place)];
      row.append(name, ...cells);
    });
    return table;
  }

  function card(flip) {
    const item = items[flip.item];
    const entry = make("li", undefined, flip.forgot ? "forgot" : "learned");
    const head = make("p", undefined, "meta");
    head.append(make("strong", flip.forgot ? "▼ forgot" : "▲ learned"), ` ${steps[flip.step].name}`);
    entry.append(head);
    if (item.prompt !== undefined) entry.append(make("p", item.prompt, "prompt"));
    entry.append(answers(flip, item));
    const groups = groupsOf(item).map((pair) => pair.join(": ")).join(" · ");
    entry.append(make("p", [item.id, groups].filter(Boolean).join(" · "), "meta"));
    return entry;
  }

  function more() {
    const found = matching();
    byId("list").append(...found.slice(shown, shown + PORTION).map(card));
    shown = Math.min(found.length, shown + PORTION);
    byId("more").hidden = shown >= found.length;
    const chosen = selects.step.value ? [steps[Number(selects.step.value)]] : steps;
    const all = chosen.reduce((sum, step) => sum + step.forgot + step.learned, 0);
    const kept = chosen.reduce((sum, step) => sum + step.shown, 0);
    const sample = kept < all ? ` This page holds a sample: ${kept} of ${all}, chosen by a hash of their ids.` : "";
    const texts = items.some((item) => item.prompt === undefined) ? " Where a text is missing, the task's data was not at hand or did not fit; its id says which it is." : "";
    byId("count").textContent = `${shown} of ${found.length} shown.${sample}${texts}`;
  }

  function again() {
    byId("list").replaceChildren();
    shown = 0;
    more();
  }

  fill(selects.step, "all", steps.map((step, place) => [String(place), `${step.name} (▼ ${step.forgot}, ▲ ${step.learned})`]));
  fill(selects.task, "all", [...new Set(items.map((item) => item.task))].sort().map((task) => [task, task]));
  fillGroups();
  byId("filters").addEventListener("change", (event) => {
    if (event.target === selects.task) fillGroups();
    again();
  });
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("more").addEventListener("click", more);
  byId("reveal").hidden = false;
  byId("reveal").addEventListener("click", () => {
    byId("warning").hidden = true;
    byId("browser").hidden = false;
    again();
    selects.step.focus();
  });
})();
