"""The figures of typology say what they draw, fit their canvas, and leave their data behind."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lib import covariates, statistics, style, trends, typology, typology_plots
from lib.world.language import PARAMETERS, factorial_design

PAIR = ("ud_parsing", "stsb")
CODES = [f"q{i:02}" for i in range(24)]
DESIGN = pd.DataFrame(factorial_design(), columns=list(PARAMETERS), index=CODES).astype(int)
LONGEST = "6 seeds, given these 2 encoders"


@cache
def drawings(
    seeds: int = 3, measures: int = 2, scope: str = LONGEST
) -> dict[str, tuple[Figure, pd.DataFrame]]:
    """Draw every figure once, on one target."""
    rng = np.random.default_rng(0)
    names = dict(list(typology.DISTANCES.items())[:measures])
    distances = pd.DataFrame(rng.uniform(0, 1, (24, measures)), index=CODES, columns=list(names))
    rows = [
        (condition, "xnli", code, 0.6 + rng.normal(0, 0.05), seed)
        for condition in ("none", "random", *PAIR)
        for code in ["en", *CODES]
        for seed in range(1, seeds + 1)
    ]
    table = pd.DataFrame(rows, columns=["condition", "target", "language", "value", "seed"])
    table = table.assign(encoder_seed=1, n=500, reported=True)
    gains = statistics.gains(table)
    values = trends.outcomes(gains, PAIR, ["xnli"])
    slopes, bands = trends.against(values, distances)
    controls = pd.DataFrame(rng.normal(size=(24, 2)), index=CODES)
    controls.columns = ["same_script", "lexical_overlap"]
    controls.iloc[0, 1] = np.nan
    every = trends.subsets(gains, distances)["all cells"]
    cells = {"all cells": every, "above the floor": every[:15], "attested by 40 %": every[3:]}
    models, _ = trends.models(
        statistics.difference(gains, *PAIR), distances.iloc[:, :2], controls, cells
    )
    family = pd.Series(["Indo-European", "Niger-Congo", "Šešsešli"] * 8, index=CODES)
    difference = values[values["outcome"] == "difference"]
    families = trends.without_each_family(difference, distances["distance"], family)
    parameters = trends.by_parameter(table, values, ["xnli"], DESIGN)
    return {
        "by_distance": typology_plots.by_distance(values, slopes, bands, distances, names, scope),
        "coefficients": typology_plots.coefficients(
            models, covariates.CONTROLS | names, PAIR, scope
        ),
        "families": typology_plots.without_each_family(families, PAIR, scope),
        "parameters": typology_plots.parameter_effects(
            parameters, typology.parameter_names(DESIGN), scope
        ),
    }


def words_of(figure: Figure) -> str:
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("by_distance", ["points", "(24)", LONGEST, "syntactic distance (URIEL+)", "stsb", "95 %"]),
        ("coefficients", ["24 languages, 24 cells", "with controls 23 languages", "lexical overlap",
                          "points per\nstandard deviation", "95 %"]),
        ("families", ["without Niger-Congo (n = 16)", "points per 0.1", LONGEST, "95 %"]),
        ("parameters", ["order of subject, object, verb", "24 languages", "score under none",
                        "points", "95 %"]),
    ],
)  # fmt: skip
def test_a_figure_names_its_axes_units_and_counts(name, expected):
    words = words_of(drawings()[name][0])
    for text in expected:
        assert text in words


def test_every_figure_drawn_twice_is_the_same_bytes(tmp_path):
    for run in ("first", "second"):
        for name, (figure, table) in drawings.__wrapped__().items():
            style.save(figure, table, name, tmp_path / run)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert len(files) == 3 * len(drawings())
    for name in files:
        first, second = ((tmp_path / run / name).read_bytes() for run in ("first", "second"))
        assert first == second, name


@pytest.mark.parametrize("measures", [1, 5])
def test_no_text_of_a_figure_is_cut_off(measures):
    for name, (figure, _) in drawings(measures=measures).items():
        figure.draw_without_rendering()
        whole, inside = figure.get_tightbbox(), figure.get_size_inches()
        assert whole.x0 > -0.02 and whole.x1 < inside[0] + 0.02, name
        assert whole.y0 > -0.02 and whole.y1 < inside[1] + 0.02, name


def test_one_seed_is_drawn_without_intervals_over_replicates():
    for name, (figure, table) in drawings(seeds=1, scope="1 seed, given one encoder").items():
        words = words_of(figure)
        assert "nan" not in words, name
        if name != "coefficients":  # its intervals are over languages
            assert table["low"].isna().all(), name


def test_points_lie_where_the_table_says_and_a_parameter_is_blue_where_its_table_leaves_out_0():
    figure, table = drawings()["parameters"]
    first = table[table["outcome"] == "score under none"].sort_values("mean", kind="stable")
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    order = [name.get_text() for name in figure.axes[0].get_yticklabels()]
    assert order == [typology.parameter_names(DESIGN)[term] for term in first["term"]]
    found = sorted((dot.get_ydata()[0], dot.get_xdata()[0]) for dot in dots)
    assert [x for _, x in found] == pytest.approx(first["mean"].tolist())
    sure = ((table["low_all"] > 0) | (table["high_all"] < 0)).sum()
    blue = [
        line
        for panel in figure.axes
        for line in panel.lines
        if line.get_marker() == "o" and line.get_color() == style.BLUE
    ]
    assert len(blue) == sure
