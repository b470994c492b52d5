/* The directory of models: a search field, two choices, and columns that sort. Without this script it is a plain table. */
(() => {
  const tables = [...document.querySelectorAll("table.vg-models")];
  if (!tables.length) return;
  const rows = tables.flatMap((table) => [...table.tBodies[0].rows]);
  const some = (name) => [...new Set(rows.flatMap((row) => row.dataset[name].split(" ")))].filter(Boolean).sort();

  const bar = document.createElement("div");
  bar.className = "vg-filter";
  const field = (tag, label) => {
    const element = document.createElement(tag);
    element.setAttribute("aria-label", label);
    bar.append(element);
    return element;
  };
  const words = field("input", "Search the models");
  words.type = "search";
  words.placeholder = "Search: name, maker, 1080p, camera …";
  const choice = (name, all) => {
    const select = field("select", all);
    select.append(new Option(all, ""), ...some(name).map((value) => new Option(value.replaceAll("_", " "), value)));
    return select;
  };
  const task = choice("tasks", "every task");
  const provider = choice("provider", "every provider");
  const count = document.createElement("output");
  bar.append(count);
  tables[0].before(bar);

  const text = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const show = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const fits =
        wanted.every((word) => text.get(row).includes(word)) &&
        (!task.value || row.dataset.tasks.split(" ").includes(task.value)) &&
        (!provider.value || row.dataset.provider === provider.value);
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length}`;
  };
  for (const element of [words, task, provider]) element.addEventListener("input", show);

  /* Numbers by value ("$0.05–0.40" by its low end), what is not known at the end. */
  const value = (row, column) => {
    const key = row.cells[column].dataset.sort;
    const number = parseFloat(key.replace(/^\$/, ""));
    return /^\d{4}-\d\d/.test(key) || Number.isNaN(number) ? { free: 0, unknown: Infinity }[key] ?? key : number;
  };
  for (const table of tables) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const order = [...table.tBodies[0].rows].sort((a, b) => {
          const [x, y] = [value(a, column), value(b, column)];
          return (down ? -1 : 1) * (typeof x === typeof y ? (x > y) - (x < y) : typeof x === "number" ? -1 : 1);
        });
        table.tBodies[0].append(...order);
      });
    });
  }

  /* A link to a row shows it, whatever is filtered. */
  const arrive = () => {
    const row = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (row && row.hidden) { words.value = task.value = provider.value = ""; show(); row.scrollIntoView(); }
  };
  addEventListener("hashchange", arrive);
  show();
})();
