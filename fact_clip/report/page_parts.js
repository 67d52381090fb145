/* What the sections of a report are built from: elements, drawings, figures as text, and tables that can be sorted. */
const PageParts = (() => {
	function make(tag, properties = {}, ...children) {
		const node = document.createElement(tag);
		for (const [name, value] of Object.entries(properties)) {
			if (name in node) node[name] = value;
			else node.setAttribute(name, value);
		}
		node.append(...children.filter((child) => child != null));
		return node;
	}

	function draw(tag, attributes, ...children) {
		const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
		for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
		node.append(...children);
		return node;
	}

	function formatted(value, digits = 1) {
		if (value == null) return "–";
		return typeof value === "number" ? value.toFixed(digits).replace("-", "−") : value;
	}

	function signed(value) {
		if (value == null) return "–";
		const sign = value > 0 ? "+" : value < 0 ? "−" : "";
		return sign + Math.abs(value).toFixed(1);
	}

	const difference = (last, first) => last == null || first == null ? null : last - first;

	// The groups are named by `_groups` of summary.py.
	const isUnseen = (one) => ["unseen", "validation-unseen", "no examples"].includes(one.group);

	const note = (...words) => make("p", {className: "soft"}, ...words);

	/** Make a table whose columns are [heading, cell of a row, kind, value to sort by].
	 *
	 * The kind is "number", "name" or "number change", a text with a sign that gets a colour, or left out. A cell that
	 * is a number prints with one decimal, so counts come as text, with their number as the value to sort by; without
	 * that value a column is sorted by its cells. `sorted` is [column, "ascending" or "descending"] to begin with; null:
	 * the table cannot be sorted. */
	function table(columns, rows, sorted = null, caption = "") {
		const body = make("tbody");
		const heads = columns.map(([heading, , kind]) => make("th", {className: kind ?? "", scope: "col"}, heading));

		function cellOf([, cell, kind = ""], row) {
			const value = cell(row);
			const node = make("td", {className: kind});
			node.append(value instanceof Node ? value : formatted(value));
			if (kind.includes("change")) node.classList.add({"+": "up", "−": "down"}[value[0]] ?? "same");
			return node;
		}

		function fill(list) {
			body.replaceChildren(...list.map((row) => make("tr", {}, ...columns.map((column) => cellOf(column, row)))));
		}

		function sort(columnIndex, way) {
			heads.forEach((head, index) => {
				if (index === columnIndex) head.setAttribute("aria-sort", way);
				else head.removeAttribute("aria-sort");
			});
			const sign = way === "ascending" ? 1 : -1;
			const [, cell, , valueOf = cell] = columns[columnIndex];
			fill([...rows].sort((left, right) => {
				const a = valueOf(left);
				const b = valueOf(right);
				if (a == null || b == null) return (a == null) - (b == null); // what is unknown comes last
				return sign * (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
			}));
		}

		if (sorted) {
			heads.forEach((head, columnIndex) => {
				const button = make("button", {type: "button", textContent: head.textContent});
				button.addEventListener("click", () => {
					sort(columnIndex, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
				});
				head.replaceChildren(button);
			});
			sort(...sorted);
		} else fill(rows);
		const node = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
		if (caption) node.setAttribute("aria-label", caption);
		return make("div", {className: "wide"}, node);
	}

	return {make, draw, formatted, signed, difference, isUnseen, note, table};
})();
