"""Print the README's table of faults from the log that `make test-faults` leaves."""

import sys
from pathlib import Path

import pandas as pd

LOG = Path(__file__).with_name("faults.csv")


COLUMNS = ["date", "commit", "fault", "tried", "lost", "test"]


def sum_up() -> pd.DataFrame:
    """Return the log by test and fault, lines that differ in how often alone joined."""
    log = pd.read_csv(LOG, names=COLUMNS, keep_default_na=False, dtype={"commit": str})
    keys = [name for name in COLUMNS if name != "tried"]
    return log.groupby(keys)["tried"].sum().reset_index()[COLUMNS].sort_values(["test", "fault"])


def table(log: pd.DataFrame) -> str:
    """Return the table in Markdown: a row per fault, how often it was tried, what was lost."""
    lines = ["| fault | tried | lost | test, in `tests/` |", "|---|---|---|---|"]
    for fault, rows in log.groupby("fault", sort=False):
        lost, test = (", ".join(dict.fromkeys(rows[name])) for name in ("lost", "test"))
        lines.append(f"| {fault} | {rows['tried'].sum()} | {lost} | `{test}` |")
    return "\n".join(lines)


if __name__ == "__main__":
    found = sum_up()
    if "--write" in sys.argv:
        found.to_csv(LOG, header=False, index=False, lineterminator="\n")
    print(table(found))
