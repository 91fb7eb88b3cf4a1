"""Print the README's table of faults from the log that `make test-faults` leaves."""

from pathlib import Path

import pandas as pd

LOG = Path(__file__).with_name("faults.csv")


def table() -> str:
    """Return the table in Markdown: a row per fault, how often it was tried, what was lost."""
    columns = ["date", "fault", "tried", "lost", "test"]
    log = pd.read_csv(LOG, names=columns, keep_default_na=False)
    lines = ["| fault | tried | lost | test, in `tests/` |", "|---|---|---|---|"]
    for fault, rows in log.groupby("fault", sort=False):
        lost, test = (", ".join(dict.fromkeys(rows[name])) for name in ("lost", "test"))
        lines.append(f"| {fault} | {rows['tried'].sum()} | {lost} | `{test}` |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
