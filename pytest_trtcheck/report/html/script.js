"use strict";
(function () {
  const AT_ONCE = 200;
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  byId("theme").addEventListener("click", function () {
    const shown = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.dataset.theme = shown === "dark" ? "light" : "dark";
  });

  // What is folded away is printed all the same, but for the long list of what is compatible.
  let unfolded = [];
  addEventListener("beforeprint", function () {
    unfolded = Array.from(document.querySelectorAll("#notrun details:not([open]), .finding details:not([open])"));
    for (const part of unfolded) part.open = true;
  });
  addEventListener("afterprint", function () {
    for (const part of unfolded) part.open = false;
  });

  const table = byId("all");
  if (!table) return;
  const form = byId("controls");
  const search = byId("search");
  const more = byId("more");
  const status = byId("shown");
  const total = table.querySelectorAll("tbody > tr").length;
  let rows = null;
  let limit = AT_ONCE;

  // Rows are looked at when somebody first asks for something: a page that is only opened pays for none of it.
  function prepare() {
    if (rows) return;
    rows = Array.from(table.querySelectorAll("tbody > tr"), function (row) {
      return {
        row: row,
        outcome: row.dataset.o,
        suite: row.cells[2].textContent,
        provider: row.cells[3].textContent,
        text: row.textContent.toLowerCase(),
      };
    });
    gather();
  }

  // One body, in the order of the rows.
  function gather() {
    const body = document.createElement("tbody");
    for (const entry of rows) body.append(entry.row);
    for (const old of Array.from(table.tBodies)) old.remove();
    table.append(body);
  }

  function chosen(id) {
    const select = byId(id);
    return select ? select.value : "";
  }

  function apply() {
    prepare();
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const outcomes = new Set(Array.from(form.querySelectorAll("[name=outcome]:checked"), (box) => box.value));
    const suite = chosen("suite");
    const provider = chosen("provider");
    let found = 0;
    for (const entry of rows) {
      const fits =
        outcomes.has(entry.outcome) &&
        (!suite || entry.suite === suite) &&
        (!provider || entry.provider === provider) &&
        words.every((word) => entry.text.includes(word));
      found += fits;
      entry.row.hidden = !(fits && found <= limit);
    }
    tell(Math.min(found, limit), found);
  }

  function tell(shown, found) {
    const of = found === total ? "" : ", of " + total + " in all";
    status.textContent = shown === found ? found + " checks shown" + of : shown + " of " + found + " checks shown" + of;
    more.hidden = shown === found;
  }

  function restart() {
    limit = AT_ONCE;
    apply();
  }

  function sortBy(column, header) {
    prepare();
    const descending = header.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = function (entry) {
      const cell = entry.row.cells[column];
      return cell.dataset.s === undefined ? cell.textContent : Number(cell.dataset.s);
    };
    const keyed = rows.map((entry) => [key(entry), entry]);
    keyed.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    if (descending) keyed.reverse();
    rows = keyed.map((pair) => pair[1]);
    gather();
    apply();
  }

  Array.from(table.tHead.rows[0].cells).forEach(function (header, column) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    button.addEventListener("click", () => sortBy(column, header));
    header.replaceChildren(button);
  });
  let waiting = 0;
  search.addEventListener("input", function () {
    clearTimeout(waiting);
    waiting = setTimeout(restart, 120);
  });
  form.addEventListener("change", restart);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(restart, 0));
  more.addEventListener("click", function () {
    limit += AT_ONCE;
    apply();
  });
  // A slash leads to the search, as it does in many tools.
  addEventListener("keydown", function (event) {
    const typing = event.target instanceof HTMLElement && event.target.matches("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
    }
  });
  form.hidden = false;
  byId("below").hidden = false;
  tell(Math.min(AT_ONCE, total), total);
})();
