// Filters, sorting and views of the page of a sweep. Without this script all of its tables are there, whole.
"use strict";

// At once, so that no view is laid out that is not shown.
document.documentElement.classList.add("scripted");
document.documentElement.dataset.show = new URLSearchParams(location.hash.slice(1)).get("view") ?? "matrix";

document.addEventListener("DOMContentLoaded", () => {
  const byId = (id) => document.getElementById(id);
  const list = byId("list"), matrix = byId("matrix"), filters = byId("filters"), shown = byId("shown");
  const headers = [...list.tHead.rows[0].cells].filter((header) => header.dataset.key);
  const views = [...document.querySelectorAll("[data-view]")].map((section) => section.dataset.view);
  const fields = [...filters.querySelectorAll("input, select")];
  const choices = fields.filter((field) => field.tagName === "SELECT");
  const compare = new Intl.Collator("en", { numeric: true }).compare;

  // A cell is a row of the list and what is of it elsewhere: an entry of the matrix, and rows of changes.
  const cells = [...list.tBodies[0].rows].map((row) => ({
    row, others: [], entry: null, shown: true, text: textOf([...row.cells].slice(0, -1)), ...row.dataset,
  }));
  for (const other of document.querySelectorAll("[data-of]")) {
    const cell = cells[other.dataset.of];
    cell.others.push(other);
    if (matrix.contains(other)) cell.entry = other.parentElement;
  }

  const gone = [...document.querySelectorAll("[data-gone]")].map((row) => ({
    row, text: textOf([...row.cells]), changed: "", ...row.dataset,
  }));

  let sorted = null, descending = false, inOrder = true, view = "matrix";

  function textOf(places) {
    return places.map((place) => place.textContent.toLowerCase()).join(" ");
  }

  function matches(cell, words) {
    return choices.every((choice) => !choice.value || cell[choice.id] === choice.value)
      && (!byId("changed")?.checked || "changed" in cell)
      && words.every((word) => cell.text.includes(word));
  }

  function filter() {
    const words = byId("q").value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = new Set(), columns = new Set();
    let count = 0;
    for (const cell of cells) {
      const fits = matches(cell, words);
      if (fits !== cell.shown) {
        cell.shown = fits;
        for (const element of [cell.row, ...cell.others]) element.hidden = !fits;
      }
      if (fits) {
        count += 1;
        rows.add(cell.entry.parentElement);
        columns.add(cell.entry.cellIndex);
      }
    }
    for (const cell of gone) cell.row.hidden = !matches(cell, words);
    narrow(rows, columns);
    const order = sorted ? `, by ${sorted.textContent.trim()}, ${descending ? "descending" : "ascending"}` : "";
    shown.textContent = `${count} of ${cells.length} cells${order}`;
  }

  // Leaves out the rows and columns of the matrix in which nothing is shown.
  function narrow(rows, columns) {
    const [targets, precisions] = matrix.tHead.rows;
    for (const row of matrix.tBodies[0].rows) {
      row.hidden = !rows.has(row);
      for (let i = 1; i < row.cells.length; i += 1) row.cells[i].hidden = !columns.has(i);
    }
    let next = 0;
    for (const target of [...targets.cells].slice(1)) {
      const own = [...precisions.cells].slice(next, next += Number(target.dataset.span ??= target.colSpan));
      for (const precision of own) precision.hidden = !columns.has(precision.cellIndex + 1);
      const left = own.filter((precision) => !precision.hidden);
      own.forEach((precision) => precision.classList.toggle("first", precision === left[0]));
      target.hidden = !left.length;
      target.colSpan = Math.max(left.length, 1);
    }
  }

  function order() {
    for (const header of headers) {
      if (header === sorted) header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    }
    if (!sorted && inOrder) return;  // as the page was written
    inOrder = !sorted;
    const index = sorted ? sorted.cellIndex : 0, number = sorted?.classList.contains("number");
    const keyed = cells.map((cell) => {
      const place = cell.row.cells[index];
      return { row: cell.row, key: number ? Number(place.dataset.v ?? NaN) : place.textContent.trim() };
    });
    const lacks = (item) => number ? Number.isNaN(item.key) : !item.key;
    if (sorted) {
      keyed.sort((a, b) => lacks(a) - lacks(b)  // what has no value is last, whichever the direction
        || (lacks(a) ? 0 : (descending ? -1 : 1) * (number ? a.key - b.key : compare(a.key, b.key))));
    }
    const rows = document.createDocumentFragment();
    for (const item of keyed) rows.append(item.row);
    list.tBodies[0].append(rows);
  }

  function show() {
    document.documentElement.dataset.show = view;
    for (const button of byId("views").children) button.setAttribute("aria-pressed", button.dataset.show === view);
    filters.hidden = shown.hidden = view === "plots";
  }

  // The state stands behind the # of the address, so that a link shows what its sender saw.
  function write() {
    const state = new URLSearchParams();
    for (const field of fields) {
      const value = field.type === "checkbox" ? (field.checked ? "1" : "") : field.value;
      if (value) state.set(field.id, value);
    }
    if (sorted) state.set("sort", (descending ? "-" : "") + sorted.dataset.key);
    if (view !== "matrix") state.set("view", view);
    if (state.toString() !== location.hash.slice(1)) history.replaceState(null, "", `#${state}`);
  }

  function read() {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const field of fields) {
      const value = state.get(field.id) ?? "";
      if (field.type === "checkbox") field.checked = value === "1";
      else field.value = value;
      if (field.tagName === "SELECT" && field.selectedIndex < 0) field.value = "";
    }
    const key = state.get("sort") ?? "";
    descending = key.startsWith("-");
    sorted = headers.find((header) => header.dataset.key === key.replace(/^-/, "")) ?? null;
    view = views.includes(state.get("view")) ? state.get("view") : "matrix";
    order();
    filter();
    show();
  }

  for (const header of headers) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      descending = sorted === header && !descending;
      sorted = header;
      order();
      filter();
      write();
    });
  }
  let asked = 0;
  filters.addEventListener("input", () => {
    asked ||= requestAnimationFrame(() => {  // once a frame, however fast somebody types
      asked = 0;
      filter();
      write();
    });
  });
  byId("reset").addEventListener("click", () => {
    history.replaceState(null, "", view === "matrix" ? "#" : `#view=${view}`);
    read();
  });
  byId("views").addEventListener("click", (event) => {
    const name = event.target.dataset.show;
    if (!name) return;
    view = name;
    show();
    write();
  });
  window.addEventListener("hashchange", read);
  byId("controls").hidden = false;
  read();
});
