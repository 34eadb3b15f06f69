"use strict";
// Units are what is filtered and ordered (a card, or a row of a table); items are what opens large.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);
  const units = all("[data-unit]").map((element, place) => ({
    element,
    place,
    states: element.dataset.states.split(" "),
    provider: element.dataset.provider,
    cost: Number(element.dataset.cost || -1),
    seconds: Number(element.dataset.seconds || -1),
    text: all(".prompt, .why, dd, .id", element).map((part) => part.textContent).join("\n").toLowerCase(),
  }));
  const bar = one(".bar");
  const dialog = one("dialog");

  // -- which are shown, and in what order --------------------------------------------------------
  const chosen = (name) => {
    const field = bar.elements[name];
    return field ? field.value : "";
  };
  const show = () => {
    const words = chosen("text").toLowerCase().split(/\s+/).filter(Boolean);
    const state = chosen("state");
    const provider = chosen("provider");
    let shown = 0;
    for (const unit of units) {
      const fits =
        (!state || unit.states.includes(state)) &&
        (!provider || unit.provider === provider) &&
        words.every((word) => unit.text.includes(word));
      unit.element.hidden = !fits;
      shown += fits;
    }
    one(".shown").textContent = shown === units.length ? `${shown} shown` : `${shown} of ${units.length} shown`;
    one(".nothing").hidden = shown > 0;
  };
  const orders = {
    table: (a, b) => a.place - b.place,
    cost: (a, b) => b.cost - a.cost || a.place - b.place,
    seconds: (a, b) => b.seconds - a.seconds || a.place - b.place,
    failures: (a, b) =>
      a.states.includes("succeeded") - b.states.includes("succeeded") || a.place - b.place,
  };
  const order = () => {
    const sorted = [...units].sort(orders[chosen("order")] || orders.table);
    if (sorted.length) sorted[0].element.parentNode.append(...sorted.map((unit) => unit.element));
  };
  bar.hidden = false;
  const measure = () => document.documentElement.style.setProperty("--bar", `${bar.offsetHeight}px`);
  addEventListener("resize", measure);
  measure();
  bar.addEventListener("submit", (event) => event.preventDefault());
  bar.addEventListener("input", show);
  bar.addEventListener("change", () => { order(); show(); });

  // -- one of them, large ------------------------------------------------------------------------
  const buttons = () => all(".open").filter((button) => !button.closest("[hidden]"));
  let current = null;
  const copied = (selector, item, fallback = "") => {
    const found = one(selector, item);
    return found ? found.cloneNode(true) : document.createTextNode(fallback);
  };
  const fill = (button) => {
    current = button;
    const item = button.closest("[data-item]");
    const unit = button.closest("[data-unit]");
    const facts = copied("dl", item);
    facts.hidden = false;
    one(".stage", dialog).replaceChildren(copied("img, .absent", button));
    one(".stage", dialog).firstElementChild.classList.toggle("problem", item.classList.contains("problem"));
    one(".said", dialog).replaceChildren(copied(".prompt", unit));
    one(".facts", dialog).replaceChildren(facts);
    const link = one(".stored", dialog);
    link.hidden = !item.dataset.file;
    if (item.dataset.file) link.href = item.dataset.file;
    const list = buttons();
    one(".place", dialog).textContent = `${list.indexOf(button) + 1} of ${list.length}`;
  };
  const step = (by) => {
    const list = buttons();
    fill(list[(list.indexOf(current) + by + list.length) % list.length]);
  };
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 };
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".open");
    if (button) {
      fill(button);
      dialog.showModal();
    } else if (event.target === dialog || event.target.closest(".close")) {
      dialog.close();
    } else if (event.target.closest(".previous")) {
      step(-1);
    } else if (event.target.closest(".next")) {
      step(1);
    }
  });
  dialog.addEventListener("keydown", (event) => {
    if (!steps[event.key] || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    step(steps[event.key]);
  });
  dialog.addEventListener("close", () => {
    if (!current) return;
    current.scrollIntoView({ block: "nearest" });
    current.focus({ preventScroll: true });
  });

  // -- arrow keys walk over the pictures -----------------------------------------------------------
  const beneath = (list, from, down) => {
    const here = from.getBoundingClientRect();
    const middle = here.left + here.width / 2;
    const away = (box) => (down ? box.top - here.top : here.top - box.top);
    const there = list
      .map((button) => ({ button, box: button.getBoundingClientRect() }))
      .filter(({ box }) => away(box) > 4)
      .map(({ button, box }) => [away(box), Math.abs(box.left + box.width / 2 - middle), button]);
    there.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    return there.length ? there[0][2] : null;
  };
  document.addEventListener("keydown", (event) => {
    if (dialog.open || !event.target.matches(".open")) return;
    const list = buttons();
    const at = list.indexOf(event.target);
    const goal = {
      ArrowRight: () => list[at + 1],
      ArrowLeft: () => list[at - 1],
      ArrowDown: () => beneath(list, event.target, true),
      ArrowUp: () => beneath(list, event.target, false),
      Home: () => list[0],
      End: () => list[list.length - 1],
    }[event.key];
    if (!goal) return;
    event.preventDefault();
    const next = goal();
    if (next) next.focus();
  });
  show();
})();
