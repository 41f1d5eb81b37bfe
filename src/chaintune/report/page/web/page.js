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

  // Lists of examples: filtered, a portion at a time, and hidden until they are asked for.

  function fill(select, first, entries) {
    const chosen = select.value;
    select.replaceChildren(new Option(first, ""), ...entries.map(([value, text]) => new Option(text, value)));
    select.value = entries.some(([value]) => value === chosen) ? chosen : "";
  }

  const groupsOf = (item) => Object.entries(item.groups).flatMap(([name, groups]) => groups.map((group) => [name, group]));
  const hasGroup = (item, key) => !key || groupsOf(item).some((pair) => JSON.stringify(pair) === key);

  function fillGroups(select, items) {
    const keys = new Set(items.flatMap((item) => groupsOf(item).map((pair) => JSON.stringify(pair))));
    fill(select, "all", [...keys].sort().map((key) => [key, JSON.parse(key).join(": ")]));
  }

  function lastLine(item) {
    const groups = groupsOf(item).map((pair) => pair.join(": ")).join(" · ");
    return make("p", [item.id, groups].filter(Boolean).join(" · "), "meta");
  }

  // `matching` lists the entries that the filters let through, `card` makes one visible, `told` follows their count.
  function list(prefix, first, matching, card, told) {
    let found = [];
    let shown = 0;

    function more() {
      byId(`${prefix}list`).append(...found.slice(shown, shown + PORTION).map(card));
      shown = Math.min(found.length, shown + PORTION);
      byId(`${prefix}more`).hidden = shown >= found.length;
      byId(`${prefix}count`).textContent = `${shown} of ${found.length} shown.${told()}`;
    }

    function again() {
      byId(`${prefix}list`).replaceChildren();
      found = matching();
      shown = 0;
      more();
    }

    byId(`${prefix}filters`).addEventListener("submit", (event) => event.preventDefault());
    byId(`${prefix}more`).addEventListener("click", more);
    byId(`${prefix}reveal`).hidden = false;
    byId(`${prefix}reveal`).addEventListener("click", () => {
      byId(`${prefix}warning`).hidden = true;
      byId(`${prefix}browser`).hidden = false;
      again();
      first.focus();
    });
    return again;
  }

  // Examples: items that flipped.

  function showExamples({ steps, items, flips }) {
    const selects = { step: byId("by-step"), task: byId("by-task"), group: byId("by-group"), direction: byId("by-direction") };

    function matching() {
      const { step, task, group, direction } = selects;
      return flips.filter((flip) => {
        const item = items[flip.item];
        return (!step.value || flip.step === Number(step.value))
          && (!task.value || item.task === task.value)
          && hasGroup(item, group.value)
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
      entry.append(answers(flip, item), lastLine(item));
      return entry;
    }

    function told() {
      const chosen = selects.step.value ? [steps[Number(selects.step.value)]] : steps;
      const all = chosen.reduce((sum, step) => sum + step.forgot + step.learned, 0);
      const kept = chosen.reduce((sum, step) => sum + step.shown, 0);
      const sample = kept < all ? ` This page holds a sample: ${kept} of ${all}, chosen by a hash of their ids.` : "";
      const texts = items.some((item) => item.prompt === undefined) ? " Where a text is missing, the task's data was not at hand or did not fit; its id says which it is." : "";
      return sample + texts;
    }

    const ofTask = () => items.filter((item) => !selects.task.value || item.task === selects.task.value);
    fill(selects.step, "all", steps.map((step, place) => [String(place), `${step.name} (▼ ${step.forgot}, ▲ ${step.learned})`]));
    fill(selects.task, "all", [...new Set(items.map((item) => item.task))].sort().map((task) => [task, task]));
    fillGroups(selects.group, items);
    const again = list("", selects.step, matching, card, told);
    byId("filters").addEventListener("change", (event) => {
      if (event.target === selects.task) fillGroups(selects.group, ofTask());
      again();
    });
  }

  // Answers side by side: texts that two checkpoints wrote.

  function showWritten({ steps, items, texts, pairs }) {
    const names = ["step", "group", "change", "before", "after", "words"];
    const fields = Object.fromEntries(names.map((name) => [name, byId(`written-by-${name}`)]));
    const CHANGES = { "-1": "▼ worse", 0: "= as before", 1: "▲ better" };

    const textOf = (answer) => (answer.text === null ? "" : texts[answer.text]);

    function hasWords(pair, words) {
      const said = [items[pair.item].prompt ?? "", ...[...pair.before, ...pair.after].map(textOf)];
      return !words || said.some((text) => text.toLowerCase().includes(words));
    }

    function matching() {
      const { step, group, change, before, after } = fields;
      const words = fields.words.value.trim().toLowerCase();
      const counted = (answers, outcome) => !outcome || answers.some((answer) => answer.outcome === outcome);
      return pairs.filter((pair) => (!step.value || pair.step === Number(step.value))
        && hasGroup(items[pair.item], group.value)
        && (!change.value || (change.value === "changed" ? pair.change !== 0 : pair.change === Number(change.value)))
        && counted(pair.before, before.value)
        && counted(pair.after, after.value)
        && hasWords(pair, words));
    }

    // The words that show an outcome, marked where they stand in the text.
    function written(answer) {
      if (answer.text === null) return make("p", "This text did not fit on the page.", "answer none");
      const text = textOf(answer);
      if (!text.trim()) return make("p", "Nothing was written.", "answer none");
      const place = answer.evidence ? text.indexOf(answer.evidence) : -1;
      if (place < 0) return make("p", text, "answer");
      const paragraph = make("p", text.slice(0, place), "answer");
      paragraph.append(make("mark", answer.evidence), text.slice(place + answer.evidence.length));
      return paragraph;
    }

    function side(name, answers) {
      const box = make("div", undefined, "side");
      if (!answers.length) box.append(make("h3", name), make("p", "No text is known.", "answer none"));
      answers.forEach((answer, place) => {
        const title = make("h3", answers.length > 1 ? `${name}, answer ${place + 1} of ${answers.length}` : name);
        const facts = [answer.outcome, answer.reason].filter(Boolean);
        if (answer.score !== undefined) facts.push(`${answers.length > 1 ? "mean " : ""}score ${answer.score}`);
        title.append(facts.length ? ": " : "", make("span", facts.join(", "), "outcome"));
        box.append(title, written(answer));
      });
      return box;
    }

    function card(pair) {
      const item = items[pair.item];
      const entry = make("li", undefined, { "-1": "forgot", 1: "learned" }[pair.change]);
      const head = make("p", undefined, "meta");
      head.append(make("strong", CHANGES[pair.change]), ` ${steps[pair.step].name}`);
      entry.append(head);
      if (item.prompt !== undefined) entry.append(make("p", item.prompt, "prompt"));
      const sides = make("div", undefined, "sides");
      sides.append(side("Before", pair.before), side("After", pair.after));
      entry.append(sides, lastLine(item));
      return entry;
    }

    function told() {
      const chosen = fields.step.value ? [steps[Number(fields.step.value)]] : steps;
      const [all, kept] = ["total", "shown"].map((name) => chosen.reduce((sum, step) => sum + step[name], 0));
      const sample = kept < all ? ` This page holds ${kept} of ${all}.` : "";
      const gone = items.some((item) => item.prompt === undefined) ? " Where a prompt is missing, the task's data was not at hand or did not fit; its id says which it is." : "";
      return sample + gone;
    }

    const outcomes = (name) => [...new Set(pairs.flatMap((pair) => pair[name].map((answer) => answer.outcome)))].filter(Boolean).sort();
    fill(fields.step, "all", steps.map((step, place) => [String(place), step.name]));
    fillGroups(fields.group, items);
    for (const name of ["before", "after"]) fill(fields[name], "any", outcomes(name).map((one) => [one, one]));
    const again = list("written-", fields.step, matching, card, told);
    byId("written-filters").addEventListener("input", again);
  }

  if (data.examples.flips) showExamples(data.examples);
  if (data.written.pairs) showWritten(data.written);
})();
