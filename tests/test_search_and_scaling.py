"""Check what the benchmark compares our search with, and how it fits cost against size."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch

from lib import paths, retrieval, workflow
from lib.benchmark import measuring, pieces, scaling, search
from lib.errors import InputError


def nearest_by_numpy(queries: np.ndarray, candidates: np.ndarray, neighbours: int) -> list:
    units = [side.astype(np.float64) for side in (queries, candidates)]
    units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in units]
    return np.argsort(-units[0] @ units[1].T, axis=1)[:, :neighbours].tolist()


def test_flat_search_and_ours_find_what_numpy_finds_both_ways():
    pytest.importorskip("faiss", reason="faiss is not installed: pip install faiss-cpu")
    sides = [search.vectors(number, 32, seed) for seed, number in ((1, 400), (2, 700))]
    ours = retrieval.nearest_both_ways(*sides, 4)
    for pair, (_, places) in zip((sides, sides[::-1]), ours, strict=True):
        expected = nearest_by_numpy(*pair, 4)
        assert search.faiss_flat(*pair, 4).tolist() == expected
        assert places.tolist() == expected


@pytest.mark.parametrize("block_size", [1, 64, 16_384])
def test_all_pairs_find_what_numpy_finds_from_half_precision(block_size):
    sides = [search.vectors(number, 32, seed, np.float16) for seed, number in ((1, 90), (2, 130))]
    found = search.all_pairs(*sides, 4, torch.device("cpu"), block_size)
    assert found.tolist() == nearest_by_numpy(*sides, 4)


def test_the_quick_search_has_a_row_per_recipe_and_repeat():
    pytest.importorskip("faiss", reason="faiss is not installed: pip install faiss-cpu")
    measured = search.measure(quick=True)
    assert list(measured.columns) == measuring.COLUMNS
    assert set(measured["recipe"]) >= {measuring.OURS, search.FLAT}
    assert (measured[["seconds", "amount"]] > 0).all(axis=None)
    assert set(measuring.ratios(measured)["n"]) == {3}


def test_without_faiss_one_line_says_how_to_have_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match="pip install faiss-cpu"):
        search.faiss_flat(np.ones((2, 2)), np.ones((2, 2)), 1)


# Scaling


def timed(what: str, seconds: dict[int, list[float]], against: str = "examples") -> pd.DataFrame:
    rows = [
        ["scaling", what, against, size, repeat, each]
        for size, repeats in seconds.items()
        for repeat, each in enumerate(repeats, start=1)
    ]
    return pd.DataFrame(rows, columns=scaling.COLUMNS)


def test_the_exponent_is_that_of_a_power_law_whatever_one_repeat_in_three_says():
    # 3 n², the median of each size; 5 n; constant.
    square = timed("square", {n: [3 * n**2, 0.1, 900.0 * n**2] for n in (1, 2, 4, 8)})
    line = timed("line", {n: [5.0 * n] for n in (10, 20, 30, 70)}, "cells")
    flat = timed("flat", {n: [0.25] for n in (10, 100)})
    found = scaling.exponents(pd.concat([square, line, flat])).set_index("what")
    assert found["exponent"].tolist() == pytest.approx([2, 1, 0])
    assert found.loc["square", ["smallest", "largest", "sizes"]].tolist() == [1, 8, 4]
    assert found["seconds"].tolist() == pytest.approx([192, 350, 0.25])
    assert found["against"].tolist() == ["examples", "cells", "examples"]


def test_a_line_that_is_no_power_law_is_fitted_by_least_squares_of_its_logarithms():
    # log2: (0, 0), (1, 0), (2, 3): slope 3/2 by hand.
    found = scaling.exponents(timed("bent", {1: [1.0], 2: [1.0], 4: [8.0]}))
    assert found["exponent"].tolist() == pytest.approx([1.5])


def test_the_quick_scaling_times_every_piece_at_two_sizes():
    measured = scaling.measure(quick=True)
    assert list(measured.columns) == scaling.COLUMNS
    named = {(piece.what, piece.against) for piece in pieces.PIECES}
    sizes = measured.groupby(["what", "against"])["size"].nunique()
    assert set(sizes.index) == named and set(sizes) == {2}
    timed_inside = measured["what"] != "plan workflow"  # a difference of two times
    assert (measured.loc[timed_inside, "seconds"] > 0).all()
    figure = scaling.draw(measured)
    assert len(figure.axes) == measured["against"].nunique()
    assert {axes.get_xlabel() for axes in figure.axes} == set(measured["against"])


def test_exponents_and_figure_are_written_beside_the_times(tmp_path):
    assert not scaling.write(tmp_path)
    line = timed("line", {n: [5.0 * n] for n in (10, 20, 40, 80)})
    line.to_csv(tmp_path / "scaling.csv", index=False)
    assert scaling.write(tmp_path)
    found = pd.read_csv(tmp_path / "scaling_exponents.csv")
    assert found["exponent"].tolist() == pytest.approx([1])
    assert (tmp_path / "scaling_exponents.png").stat().st_size > 10_000


def test_every_piece_has_four_sizes():
    assert {len(set(piece.sizes)) for piece in pieces.PIECES} == {4}


@pytest.mark.parametrize("kind", ["udpos", "xnli", "xquad"])
def test_made_up_examples_are_what_the_task_reads(kind, tmp_path):
    made = pieces._make_features(kind, 7, tmp_path)()
    assert {feature["example"] for feature in made} == set(range(7))
    assert all(feature["labels"] is not None for feature in made)


def test_a_made_up_grid_is_finished_in_the_eyes_of_the_workflow(tmp_path):
    settings = pieces._finished(80, tmp_path)
    with pieces._results_in(tmp_path):
        grid = workflow.cells(settings)
        assert len(grid) == pytest.approx(80, abs=2)
        assert workflow.check_existing(settings) == ([], [])
        next(iter(grid)).run_file.unlink()
        assert workflow.check_existing(settings)[0] == [next(iter(grid))]


def test_a_dry_run_removes_nothing(tmp_path, monkeypatch, capsys):
    settings = pieces._finished(80, tmp_path)
    with pieces._results_in(tmp_path):
        next(iter(workflow.cells(settings))).run_file.unlink()
        drawn = paths.results(settings.name) / "analysis_power" / "notebook.ipynb"
        drawn.parent.mkdir()
        drawn.touch()
        for name, value in (("profile.load", settings), ("inventory.check", None),
                            ("_call", 0)):  # fmt: skip
            monkeypatch.setattr(f"lib.workflow.{name}", lambda *_, value=value: value)
        monkeypatch.setattr("lib.workflow.checks.check_analyses", lambda *_: None)
        workflow.run(settings.name, "1", ["-n"])
        assert drawn.is_file() and f"would be made again: {drawn}" in capsys.readouterr().out
        workflow.run(settings.name, "1", [])
        assert not drawn.is_file()
