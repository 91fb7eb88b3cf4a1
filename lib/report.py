"""Bind a profile's executed analyses into one page of HTML, with the provenance of every number.

`python -m lib.report world` is what `make report` calls. The page needs no network and no other
file; nbconvert renders it by the template beside this module. `figures/<profile>/cells.csv` has the
same provenance, a row per cell: a study that is published without its results can keep that.
"""

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from nbformat import NotebookNode

from lib import calls, execution, paths, profile
from lib.errors import InputError
from lib.profile import Profile

TEMPLATE = Path(__file__).with_name("report.html.j2")
# The question's own analysis first; others follow by name.
ORDER = ["syntax_vs_semantics", "typology", "retrieval", "representation", "power", "replication"]
PHASES = list(execution.PHASES)
WIDGET = "application/vnd.jupyter.widget-view+json"
KEPT = ["cell", "parameters_hash", "seconds", "tokens", "updates", "device", "precision",
        "attention", "commit", "finished"]  # fmt: skip
HEADING = re.compile(r"^(#{1,3}) (.+)$", re.MULTILINE)


def write(name: str) -> Path:
    """Write `results/<profile>/report.html` of a profile's name or file; return its path.

    Beside the figures it writes `cells.csv`.
    Raises InputError where no analysis of the profile has been run.
    """
    study = profile.load(name)
    made, absent = analyses(study)
    notebook = bind(made)
    page = render(study, notebook, absent)
    file = paths.results(study.name) / "report.html"
    file.write_text(page, encoding="utf-8")
    table = paths.figures(study.name) / "cells.csv"
    table.parent.mkdir(parents=True, exist_ok=True)
    cells(study).to_csv(table, index=False, lineterminator="\n")
    return file


def analyses(study: Profile) -> tuple[dict[str, NotebookNode], list[str]]:
    """Return the executed analyses by name, and a line for each that has not been run or failed.

    An analysis that stopped at an error is left out: its numbers are not whole.
    """
    import nbformat

    found: dict[str, NotebookNode] = {}
    absent = []
    names = [file.stem.removeprefix("analysis_") for file in paths.NOTEBOOKS.glob("analysis_*")]
    place = {name: position for position, name in enumerate(ORDER)}
    for name in sorted(names, key=lambda each: (place.get(each, len(ORDER)), each)):
        file = paths.results(study.name) / f"analysis_{name}" / "notebook.ipynb"
        if not file.is_file():
            absent.append(f"{name}: not run; `{study.command()}` runs it")
            continue
        notebook = nbformat.read(file, as_version=4)
        error = next(
            (o for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "error"),
            None,
        )
        if error:
            absent.append(f"{name}: stopped at {error.ename}: {error.evalue}")
        else:
            found[name] = notebook
    if not found:
        raise InputError(
            f"{paths.results(study.name)}: no executed analysis; run `{study.command()}` first"
        )
    return found, absent


def bind(made: dict[str, NotebookNode]) -> NotebookNode:
    """Join executed notebooks into one: headings a level down, ids that are unique in the page.

    The cell that papermill injects is left out; each figure is named after the heading over it.
    """
    from nbformat.v4 import new_notebook

    cells = []
    for name, notebook in made.items():
        starts, heading = name, name
        for cell in notebook.cells:
            if "injected-parameters" in cell.metadata.get("tags", []):
                continue
            cell = cell.copy()
            if cell["cell_type"] == "markdown":
                heading = (HEADING.findall(cell["source"]) or [("", heading)])[-1][1]
                cell["source"] = HEADING.sub(r"#\1 \2", cell["source"])
                # Makes, From, Takes: lines of their own.
                cell["source"] = cell["source"].replace("\n**", "  \n**")
            elif "outputs" in cell:
                # A widget needs a kernel; what it shows stands beside it without one.
                cell["outputs"] = [o for o in cell["outputs"] if WIDGET not in o.get("data", {})]
            cell["id"] = f"{name}--{cell['id']}"
            alt = f"Figure under: {_plain(heading)}"
            cell["metadata"] = NotebookNode(starts_section=starts, alt=alt)
            starts = ""
            cells.append(cell)
    return new_notebook(cells=cells)


def contents(notebook: NotebookNode) -> list[dict[str, Any]]:
    """List the sections of a bound notebook, each with its title, anchor and inner headings."""
    parts: list[dict[str, Any]] = []
    for cell in notebook.cells:
        headings = HEADING.findall(cell.source) if cell.cell_type == "markdown" else []
        if cell.metadata.starts_section:
            anchor = cell.metadata.starts_section
            title = headings[0][1] if headings else anchor.replace("_", " ")
            parts.append({"title": _plain(title), "anchor": anchor, "entries": []})
            headings = headings[1:]
        entries = [{"title": _plain(title), "anchor": cell.id} for _, title in headings]
        parts[-1]["entries"] += entries
    return parts


def _plain(markdown: str) -> str:
    return re.sub(r"[`*]", "", markdown)


def render(study: Profile, notebook: NotebookNode, absent: list[str]) -> str:
    """Return the page as HTML that refers to nothing outside itself."""
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    answer = paths.figures(study.name) / "answer.md"
    none = "No answer is written yet: `analysis_syntax_vs_semantics` writes it."
    said = answer.read_text(encoding="utf-8") if answer.is_file() else none
    report = {
        "title": f"Parsing for transfer: {study.name}",
        "summary": study.summary,
        # Each sentence of the answer is a line of its file, and a paragraph here.
        "answer": re.sub(r"\n(?=[^\n-])", "\n\n", said.strip()),
        "extent": _extent(study),
        "contents": contents(notebook),
        "absent": absent,
        "colours": HtmlFormatter(style="friendly").get_style_defs(".highlight"),
        "provenance": provenance(study),
    }
    exporter = HTMLExporter(
        template_name="basic",
        template_file=str(TEMPLATE),
        exclude_anchor_links=True,
        exclude_output_prompt=True,
    )
    page, _ = exporter.from_notebook_node(notebook, resources={"report": report})
    return page


def _extent(study: Profile) -> str:
    numbers = {
        "condition": len(study.conditions),
        "target": len(study.targets),
        "language besides the source": len(study.target_languages),
        "seed": len(study.seeds),
        "encoder": len(set(study.seeds.values())),
    }
    counted = []
    for what, number in numbers.items():
        first, *rest = what.split(" ")
        many = first if number == 1 else f"{first}s"
        counted.append(" ".join([str(number), many, *rest]))
    return f"{', '.join(counted)}; {len(study.runs)} pairs of a condition and a seed."


def records(study: Profile) -> list[dict[str, Any]]:
    """Return every `run.json` of a profile, by phase and then by path.

    Raises InputError for one that cannot be read.
    """
    folder = paths.results(study.name)
    found = []
    for file in folder.glob("[!.]*/**/run.json"):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            found.append(record | {"cell": str(file.parent.relative_to(folder))})
        except ValueError:
            raise InputError(f"{file}: not a run's record; delete {file.parent}") from None
    return sorted(found, key=lambda record: (_rank(_phase(record)), record["cell"]))


def _phase(record: dict[str, Any]) -> str:
    return str(record["cell"]).split("/")[0]


def _rank(phase: str) -> tuple[int, str]:
    return (PHASES.index(phase) if phase in PHASES else len(PHASES), phase)


def stands_for_several(record: dict[str, Any]) -> bool:
    """Say whether a record is that of a kernel that ran several cells, and holds no result."""
    given = record["parameters"]
    return bool(given) and all(
        isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) for value in given.values()
    )


def provenance(study: Profile) -> dict[str, Any]:
    """Return what the page says of where its numbers come from: every cell, and the totals."""
    every = records(study)
    cells = [record for record in every if not stands_for_several(record)]
    kernels = [record for record in every if stands_for_several(record)]
    sets = Counter(_versions(record) for record in cells)
    letters = {text: _letter(number) for number, text in enumerate(sets)}
    made_with = [
        {"what": f"versions {letters[text]}", "value": text, "cells": number}
        for text, number in sets.items()
    ]
    for what in ("device", "commit", "precision", "attention"):
        counted = Counter(str(record[what]) for record in cells if record.get(what))
        made_with += [
            {"what": what, "value": value, "cells": number} for value, number in counted.items()
        ]
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in cells:
        parts = record["cell"].split("/")
        groups.setdefault("/".join(parts[: max(1, min(2, len(parts) - 1))]), []).append(record)
    return {
        "store": f"results/{study.name}/",
        "number": len(cells),
        "totals": _totals(cells),
        "calls": _calls(study),
        "made_with": made_with,
        "profile_file": f"{study.name}.yaml",
        "profile": _readable(study.model_dump()),
        "groups": [
            {
                "name": name,
                "hours": _hours(rows),
                "rows": [_row(record, letters) for record in rows],
            }
            for name, rows in groups.items()
        ],
        "kernels": [
            {
                "cell": record["cell"],
                "stands_for": len(record["parameters"]),
                "commit": record.get("commit", ""),
                "finished": record.get("finished", ""),
            }
            for record in kernels
        ],
    }


def cells(study: Profile) -> pd.DataFrame:
    """Return a row of provenance per cell: what its record says in one value each.

    `versions` are those of the packages, `data` the fingerprints of what was read, and `scores` is
    the SHA-256 of the cell's scores.
    """
    rows = [
        {key: record.get(key) for key in KEPT}
        | {"versions": _versions(record)}
        | {"data": " ".join(f"{name}={at}" for name, at in (record.get("data") or {}).items())}
        | {"scores": (record.get("files") or {}).get("scores.parquet")}
        for record in records(study)
        if not stands_for_several(record)
    ]
    columns = [*KEPT, "versions", "data", "scores"]
    return pd.DataFrame(rows, columns=columns).astype({"tokens": "Int64", "updates": "Int64"})


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else str(number)


def _versions(record: dict[str, Any]) -> str:
    named = {"python": record.get("python", "unknown")} | record.get("packages", {})
    return ", ".join(f"{name} {version}" for name, version in named.items())


def _row(record: dict[str, Any], letters: dict[str, str]) -> dict[str, Any]:
    return {
        "cell": record["cell"],
        "seconds": f"{record.get('seconds', 0):,.1f}",
        "tokens": f"{record['tokens']:,}" if record.get("tokens") else "",
        "updates": f"{record['updates']:,}" if record.get("updates") else "",
        "device": record.get("device", ""),
        "commit": record.get("commit", ""),
        "versions": letters[_versions(record)],
        "finished": record.get("finished", ""),
        "parameters": _readable(record["parameters"]),
    }


def _readable(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100).strip()


def _hours(rows: list[dict[str, Any]]) -> str:
    return f"{sum(row.get('seconds', 0) for row in rows) / 3600:.2f}"


def _totals(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add up cells, hours and training tokens by phase, and over all of them."""
    phases = dict.fromkeys(_phase(record) for record in cells)
    sums = [(phase, [record for record in cells if _phase(record) == phase]) for phase in phases]
    return [
        {
            "phase": phase,
            "cells": f"{len(rows):,}",
            "hours": _hours(rows),
            "tokens": f"{sum(row.get('tokens', 0) for row in rows):,}",
        }
        for phase, rows in [*sums, ("all", cells)]
    ]


def _calls(study: Profile) -> str:
    """Say how long the calls of the workflow took that made cells."""
    made_by = calls.read(study.name)
    if not made_by:
        return "No call of the workflow is recorded: cells were run one by one."
    hours = sum(call["seconds"] for call in made_by) / 3600
    number = f"{len(made_by)} call{'s' * (len(made_by) > 1)}"
    return f"{number} of the workflow made cells, in {hours:.2f} hours by the clock."


def main() -> int:
    """Read the command line; an InputError is one line on standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", help="name of a profile, or path of a YAML file")
    try:
        file = write(parser.parse_args().profile)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"report: {file} ({file.stat().st_size / 2**20:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
