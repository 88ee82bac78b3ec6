"""tools/bench/report.py - figures, verdicts and tables out of the rounds of a benchmark run.

A row is a dict: name, title, unit, better ("more" or "less"), target, goal (or None), and `sides`, a list
of (name, [round, ...]) with the measured side first; a round is a dict with at least `figure`.  A row with two
sides is judged by the median of the ratios inside the rounds (both sides see the same minute of the machine),
a row with one side by its median.
"""

from statistics import median

HEADS = ["figure", "median", "min..max", "against", "its median", "its min..max", "ratio of medians",
         "ratio in rounds", "target", "goal", "met"]
LATENCY_HEADS = ["answers", "side", "p50 us", "p99 us", "max us", "client cpu"]


def number(value, unit):
    return "%.1f" % value if unit.startswith("MB") else "{:,.0f}".format(value)


def span(rounds, unit):
    figures = [r["figure"] for r in rounds]
    return "%s..%s" % (number(min(figures), unit), number(max(figures), unit))


def judge(row):
    """Add `median`, `ratio_of_medians`, `ratio_in_round`, `value` and `met` to a row."""
    figures = [[r["figure"] for r in rounds] for _, rounds in row["sides"]]
    row["median"] = median(figures[0])
    row["ratio_of_medians"] = row["ratio_in_round"] = None
    row["value"] = row["median"]
    if len(figures) == 2:
        row["ratio_of_medians"] = row["median"] / median(figures[1])
        row["value"] = row["ratio_in_round"] = median(a / b for a, b in zip(*figures))
    sign = 1 if row["better"] == "more" else -1

    def reached(mark):
        return mark is not None and sign * row["value"] >= sign * mark

    row["met"] = "goal" if reached(row["goal"]) else "yes" if reached(row["target"]) else "NO"
    return row


def main_cells(row):
    (_, mine), unit = row["sides"][0], row["unit"]
    cells = ["%s, %s" % (row["title"], unit), number(row["median"], unit), span(mine, unit)]
    if len(row["sides"]) == 2:
        name, other = row["sides"][1]
        cells += [name, number(median(r["figure"] for r in other), unit), span(other, unit),
                  "%.2f" % row["ratio_of_medians"], "%.2f" % row["ratio_in_round"]]
    else:
        cells += ["-"] * 5
    sign = ">=" if row["better"] == "more" else "<="
    goal = "-" if row["goal"] is None else "%s %s" % (sign, row["goal"])
    return cells + ["%s %s" % (sign, row["target"]), goal, row["met"]]


def latency_cells(row):
    for name, rounds in row["sides"]:
        if "p50_us" in rounds[0]:
            yield ([row["name"], name]
                   + ["{:,.0f}".format(median(r[k] for r in rounds)) for k in ("p50_us", "p99_us")]
                   + ["{:,.0f}".format(max(r["max_us"] for r in rounds)),
                      "%.0f %%" % (100 * median(r["client_cpu"] for r in rounds))])


def tables(rows):
    main = [main_cells(row) for row in rows]
    latencies = [cells for row in rows for cells in latency_cells(row)]
    return [(HEADS, main)] + ([(LATENCY_HEADS, latencies)] if latencies else [])


def text(rows, facts):
    """The tables for a terminal."""
    out = []
    for heads, lines in tables(rows):
        widths = [max(len(line[i]) for line in [heads] + lines) for i in range(len(heads))]
        for line in [heads, ["-" * w for w in widths]] + lines:
            out.append("  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip())
        out.append("")
    return "\n".join(out + ["%s: %s" % fact for fact in facts]) + "\n"


def rst(rows, facts):
    """The same for the documentation: a page fragment without a title."""
    out = []
    for heads, lines in tables(rows):
        out += [".. list-table::", "   :header-rows: 1", ""]
        for line in [heads] + lines:
            out += ["   %s - %s" % ("*" if i == 0 else " ", cell) for i, cell in enumerate(line)]
        out.append("")
    return "\n".join(out + ["- %s: %s" % fact for fact in facts]) + "\n"
