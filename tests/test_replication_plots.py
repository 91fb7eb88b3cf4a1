"""Figures of the replication say what they draw, keep to the column, and never change."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from test_replication import study

from lib import replication, replication_plots, style, tasks

Drawings = dict[str, tuple[Figure, pd.DataFrame]]


def ledger() -> pd.DataFrame:
    rows = [
        (4, "Squares are round.", "effect", "published", 8.4, np.nan, np.nan, 0, "supported"),
        (4, "Squares are round.", "effect", "world_full", 1.0, -1.0, 3.0, 8, "not distinguishable"),
        (4, "Squares are round.", "effect", "xtreme_large", 2.0, 1.0, 3.0, 3, "contradicted"),
        (5, "Circles are not.", "effect", "world_full", np.nan, np.nan, np.nan, 0,
         "not tested here"),
        (1, "There are nine.", "data", "any", 9, np.nan, np.nan, 0, "supported"),
    ]  # fmt: skip
    names = ["claim", "statement", "kind", "profile", "evidence", "low", "high", "n", "verdict"]
    return pd.DataFrame(rows, columns=names)


def drawings() -> Drawings:
    own = study()
    fewer = study(targets={"xnli": ["en", "de"], "tatoeba": ["de", "tr"]})
    scope = "3 seeds, given one encoder"
    return {
        "scores": replication_plots.scores_beside_published(replication.scores(fewer), scope),
        "gains": replication_plots.gains_beside_published(
            replication.gains(own), scope, "real languages"
        ),
        "parsing": replication_plots.parsing_beside_published(replication.parsing(own), scope),
        "retrieval": replication_plots.retrieval_by_language(
            replication.retrieval(fewer, "tatoeba"), "tatoeba", scope
        ),
        "claims": replication_plots.claims_forest(ledger(), {4: 8.2}),
    }


@pytest.fixture(scope="module")
def drawn() -> Drawings:
    return drawings()


def texts(figure: Figure) -> str:
    """Return all that a figure says."""
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


def test_figures_are_the_same_bytes_when_drawn_again(drawn: Drawings, tmp_path: Path) -> None:
    for folder, made in (("first", drawn), ("second", drawings())):
        for name, (figure, table) in made.items():
            style.save(figure, table, name, tmp_path / folder)
    files = sorted((tmp_path / "first").iterdir())
    assert len(files) == 3 * 5
    for file in files:
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes(), file.name


def test_figures_say_what_is_published_what_is_not_comparable_and_how_many_runs(
    drawn: Drawings,
) -> None:
    said, table = texts(drawn["scores"][0]), drawn["scores"][1]
    assert "2 of 15 languages" in said and "3 seeds, given one encoder" in said
    assert set(table["system"]) >= {"XLM-R large", "X-STILTs", "XLM-R base", "none"}
    said = texts(drawn["gains"][0])
    assert said.count("not seen") == 2  # BUCC and Tatoeba
    assert "best of the nine, n = 3" in said
    assert "Of ours no run is here" in texts(drawn["parsing"][0])
    assert "layer 14" in texts(drawn["retrieval"][0])
    said, table = texts(drawn["claims"][0]), drawn["claims"][1]
    assert "world_full: not distinguishable, n = 8" in said
    assert "xtreme_large: contradicted, n = 3" in said and "not tested here" in said
    assert table["claim"].tolist() == [4, 4, 4]


def test_every_figure_keeps_within_column_width_and_its_text_is_readable(drawn: Drawings) -> None:
    for name, (figure, _) in drawn.items():
        assert 3.4 <= figure.get_figwidth() <= 7, name
        figure.draw_without_rendering()
        shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
        assert min(text.get_fontsize() for text in shown) >= 7.5, name
        width = figure.bbox.width
        for text in shown:
            if re.fullmatch(r"[−\d.]+", text.get_text()):
                continue  # a tick's label may lie beyond the axis, where it is not drawn
            box = text.get_window_extent()
            assert box.x0 >= -1 and box.x1 <= width + 1, (name, text.get_text())


def test_what_is_drawn_pale_is_what_cannot_be_compared() -> None:
    fewer = study(targets={"xnli": ["en", "de"], "pawsx": list(tasks.get("pawsx").languages)})
    figure, table = replication_plots.scores_beside_published(replication.scores(fewer), "3 seeds")
    pale = [line for line in figure.axes[0].lines if line.get_alpha() is not None]
    own = table[(table["source"] == "ours") & ~table["comparable"].astype(bool)]
    # A point and an interval each.
    assert len(pale) == 2 * len(own) == 6


def test_words_beside_a_claim_stand_in_the_order_of_its_points() -> None:
    own = (4, "Squares are round.", "effect", "small_cpu")
    other = (5, "Circles are not.", "effect", "small_cpu")
    rows = [
        (*own, np.nan, np.nan, np.nan, 0, "not tested here"),
        (*own[:3], "world_full", 1.0, -1.0, 3.0, 8, "contradicted"),
        (*other, 2.0, 1.0, 3.0, 2, "supported"),
        (*other[:3], "world_full", -1.0, -2.0, 0.5, 4, "not distinguishable"),
    ]
    figure, _ = replication_plots.claims_forest(pd.DataFrame(rows, columns=ledger().columns), {})
    (axes,) = figure.axes[:1]
    points = {
        x: y
        for line in axes.lines
        for x, y in [line.get_xydata()[0]]
        if len(line.get_xydata()) == 1
    }
    assert axes.yaxis_inverted() == (points[2.0] < points[-1.0])
    words = next(t for t in texts(figure).split("\n") if "supported" in t)
    assert words.startswith("small_cpu")
