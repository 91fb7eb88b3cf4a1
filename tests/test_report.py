"""The report: whole, self-contained, and honest about what is missing."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from nbformat import v4

from lib import paths, profile, report
from lib.errors import InputError

# One pixel, transparent.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
HASH = "a" * 64


def executed(title: str, number: str) -> nbformat.NotebookNode:
    """Return a notebook as papermill leaves it, with a figure, a table, text and a widget."""
    widget = {"model_id": "0" * 32, "version_major": 2, "version_minor": 0}
    outputs = [
        v4.new_output("stream", name="stdout", text=f"said {number}\n"),
        v4.new_output("display_data", {"image/png": PIXEL, "text/plain": "<Figure>"}),
        v4.new_output("execute_result", {"text/html": "<table><tr><td>0.5</td></tr></table>"}),
        v4.new_output(
            "display_data",
            {"application/vnd.jupyter.widget-view+json": widget, "text/plain": "VBox(children=())"},
        ),
    ]
    cells = [
        v4.new_markdown_cell(f"# {title}\n\n**Makes** it.\n**From** that.", id="what"),
        v4.new_code_cell("profile = 'x'", id="given", metadata={"tags": ["injected-parameters"]}),
        v4.new_markdown_cell("## Sensitivity\n\nWords.", id="about"),
        v4.new_code_cell("figure  # folded away", id="draw", outputs=outputs),
    ]
    return v4.new_notebook(cells=cells)


def record(folder: Path, **facts: Any) -> None:
    folder.mkdir(parents=True)
    made = {
        "parameters": {"seed": 1, "target": {"learning_rate": 0.00012}},
        "seconds": 1800.0,
        "tokens": 1500,
        "updates": 10,
        "commit": "0123456789ab",
        "packages": {"torch": "2.13.0"},
        "python": "3.11.7",
        "device": "CPU (1 threads)",
        "finished": "2026-01-02T03:04:05Z",
    }
    (folder / "run.json").write_text(json.dumps(made | facts))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return results of `tiny`, with one analysis of two."""
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    monkeypatch.setenv("FIGURES_ROOT", str(tmp_path / "figures"))
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    for name in ("analysis_zebra", "analysis_syntax_vs_semantics"):
        (notebooks / f"{name}.ipynb").touch()
    monkeypatch.setattr(paths, "NOTEBOOKS", notebooks)
    folder = tmp_path / "results" / "tiny"
    record(folder / "pretrain/seed=1", seconds=3600.0)
    record(folder / "transfer/none/udpos/seed=1")
    record(folder / "transfer/none/udpos/seed=2", device="NVIDIA <H200>")
    record(folder / "transfer/none/all/seed=0", parameters={"transfer/none/udpos/seed=1": HASH})
    record(folder / ".work/transfer/none/panx/seed=1")
    made = folder / "analysis_syntax_vs_semantics"
    made.mkdir()
    nbformat.write(executed("Syntax or semantics?", "one"), made / "notebook.ipynb")
    answers = paths.figures("tiny")
    answers.mkdir(parents=True)
    (answers / "answer.md").write_text("**Profile `tiny`**: few.\nNo difference, +0.10 points.\n")
    yield folder


class Page(HTMLParser):
    """Collect what a page refers to, its ids, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.anchors: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
        if tag == "a":
            self.anchors.append(given.get("href") or "")
        else:
            self.sources += [given[key] or "" for key in ("src", "href", "srcset") if key in given]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_no_other_file_and_no_network(store: Path) -> None:
    html = report.write("tiny").read_text()
    page = Page(html)
    assert page.sources and all(source.startswith("data:") for source in page.sources)
    assert "script" not in page.tags and "link" not in page.tags
    assert not re.search(r"@import|url\(", html)


def test_every_analysis_that_stands_is_there_with_its_outputs_and_the_missing_is_named(
    store: Path,
) -> None:
    page = Page(report.write("tiny").read_text())
    assert "Syntax or semantics?" in page.text and "said one" in page.text
    assert f"data:image/png;base64,{PIXEL}" in page.sources
    assert "zebra: not run; `make figures PROFILE=tiny` runs it" in page.text
    made = store / "analysis_zebra"
    made.mkdir()
    nbformat.write(executed("Zebras", "two"), made / "notebook.ipynb")
    page = Page(report.write("tiny").read_text())
    assert page.text.index("said one") < page.text.index("said two")
    assert "not run" not in page.text


def test_an_analysis_that_stopped_at_an_error_is_named_and_left_out(store: Path) -> None:
    made = store / "analysis_zebra"
    made.mkdir()
    notebook = executed("Zebras", "two")
    notebook.cells[3].outputs = [
        v4.new_output("error", ename="InputError", evalue="no stripes", traceback=[])
    ]
    nbformat.write(notebook, made / "notebook.ipynb")
    page = Page(report.write("tiny").read_text())
    assert "zebra: stopped at InputError: no stripes" in page.text
    assert "Zebras" not in page.text


def test_the_contents_lead_to_headings_and_ids_are_unique(store: Path) -> None:
    made = store / "analysis_zebra"
    made.mkdir()
    nbformat.write(executed("Zebras", "two"), made / "notebook.ipynb")
    page = Page(report.write("tiny").read_text())
    assert len(page.ids) == len(set(page.ids))
    inner = [anchor for anchor in page.anchors if anchor.startswith("#")]
    assert {"#zebra--about", "#syntax_vs_semantics--about", "#provenance"} <= set(inner)
    assert {anchor[1:] for anchor in inner} <= set(page.ids)


def test_the_written_answer_stands_before_everything_else(store: Path) -> None:
    page = Page(report.write("tiny").read_text())
    assert page.text.index("No difference, +0.10 points.") < page.text.index("Contents")


def test_the_extent_of_the_study_is_counted(store: Path) -> None:
    text = Page(report.write("tiny").read_text()).text
    assert (
        "7 conditions, 5 targets, 3 languages besides the source, 1 seed, 1 encoder; "
        "7 pairs of a condition and a seed." in text
    )


def test_sentences_of_the_answer_are_paragraphs_and_lists_stay_lists(store: Path) -> None:
    answer = "First.\nSecond.\n\nBesides:\n\n- one\n- two\n"
    (paths.figures("tiny") / "answer.md").write_text(answer)
    html = report.write("tiny").read_text()
    assert "<p>First.</p>" in html and "<p>Second.</p>" in html
    assert re.search(r"<li>one</li>\s*<li>two</li>", html)


def test_code_is_folded_and_widgets_and_injected_cells_leave_no_trace(store: Path) -> None:
    html = report.write("tiny").read_text()
    folded = re.findall(r'<details class="code">.*?</details>', html, re.DOTALL)
    assert len(folded) == 1 and "folded away" in folded[0]
    assert "VBox" not in html and "widget-view" not in html and "profile = 'x'" not in html


def test_every_cell_is_listed_with_its_parameters_and_what_made_it(store: Path) -> None:
    text = Page(report.write("tiny").read_text()).text
    provenance = text[text.index("Every result is a cell") :]
    for cell in ("pretrain/seed=1", "transfer/none/udpos/seed=1", "transfer/none/udpos/seed=2"):
        assert cell in provenance
    assert "panx" not in provenance.split("Cells")[-1], "work in progress is no result"
    assert provenance.count("learning_rate: 0.00012") == 3
    for fact in ("0123456789ab", "2026-01-02T03:04:05Z", "python 3.11.7, torch 2.13.0"):
        assert fact in provenance
    assert "NVIDIA <H200>" in provenance


def test_provenance_stays_beside_the_figures_a_row_per_cell(store: Path) -> None:
    record(
        store / "intermediate/stsb/seed=1", parameters_hash=HASH,
        data={"nyu-mll/glue/stsb": "0f", "sick/default": "1e"}, files={"scores.parquet": "ab"},
    )  # fmt: skip
    report.write("tiny")
    table = pd.read_csv(paths.figures("tiny") / "cells.csv").set_index("cell")
    assert list(table.index) == [
        "pretrain/seed=1", "intermediate/stsb/seed=1", "transfer/none/udpos/seed=1",
        "transfer/none/udpos/seed=2",
    ]  # fmt: skip
    assert table.tokens["pretrain/seed=1"] == 1500 and table.seconds["pretrain/seed=1"] == 3600
    assert table.device["transfer/none/udpos/seed=2"] == "NVIDIA <H200>"
    last = table.loc["intermediate/stsb/seed=1"]
    assert (last.parameters_hash, last.scores) == (HASH, "ab")
    assert last.data == "nyu-mll/glue/stsb=0f sick/default=1e"
    assert last.versions == "python 3.11.7, torch 2.13.0"


def test_hours_are_added_up_by_phase_and_a_kernels_record_is_not_counted_twice(
    store: Path,
) -> None:
    found = report.provenance(profile.load("tiny"))
    hours = {row["phase"]: (row["cells"], row["hours"], row["tokens"]) for row in found["totals"]}
    assert hours == {
        "pretrain": ("1", "1.00", "1,500"),
        "transfer": ("2", "1.00", "3,000"),
        "all": ("3", "2.00", "4,500"),
    }
    (kernel,) = found["kernels"]
    assert kernel["cell"] == "transfer/none/all/seed=0" and kernel["stands_for"] == 1


def test_the_clock_is_read_from_the_journal_of_the_workflow(store: Path) -> None:
    assert "No call of the workflow is recorded" in report.write("tiny").read_text()
    (store / "workflow.jsonl").write_text('{"seconds": 5400.0}\n{"seconds": 1800.0}\n')
    assert "2 calls of the workflow made cells, in 2.00 hours" in report.write("tiny").read_text()


def test_the_same_results_make_the_same_page(store: Path) -> None:
    assert report.write("tiny").read_bytes() == report.write("tiny").read_bytes()


def test_without_an_analysis_one_line_says_what_to_run(store: Path) -> None:
    (store / "analysis_syntax_vs_semantics/notebook.ipynb").unlink()
    with pytest.raises(InputError, match="no executed analysis; run `make figures PROFILE=tiny`"):
        report.write("tiny")
    done = subprocess.run(
        [sys.executable, "-m", "lib.report", "tiny"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1


def test_a_broken_record_is_named(store: Path) -> None:
    (store / "pretrain/seed=1/run.json").write_text("{")
    with pytest.raises(InputError, match=r"pretrain/seed=1/run.json: not a run's record"):
        report.write("tiny")
