"""Figures of layers say what they draw, leave their data behind, and are the same bytes again."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lib import layer_plots, statistics, style

SCOPE = "5 encoders"
CONDITIONS = ["none", "random", "ud_parsing", "stsb", "ud_parsing_shuffled", "ccg"]
PANELS = ["part of speech, source", "part of speech, other languages", "relation, source"]
DISTANCE = pd.Series({"aa": 0.2, "bb": 0.2, "cc": 0.5, "dd": 0.7})
NAMES = pd.Series({"aa": "Alpha", "bb": "Beta", "cc": "Gamma", "dd": "Delta"})


def table(layers: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        (panel, condition, layer, *(50 + rng.normal() + np.array([0, -4, 4])))
        for panel in PANELS
        for condition in CONDITIONS
        for layer in range(layers)
    ]
    names = ["panel", "condition", "layer", "mean", "low", "high"]
    return pd.DataFrame(rows, columns=names).assign(languages=8, replicates=5)


def means_and_lines() -> tuple[pd.DataFrame, dict]:
    rng = np.random.default_rng(1)
    wide = pd.DataFrame(rng.normal(0, 0.02, (5, 4)), columns=DISTANCE.index)
    means = [
        (condition, language, *(100 * np.array(statistics.t_interval(wide[language]))))
        for condition in ("ud_parsing", "stsb")
        for language in wide
    ]
    names = ["condition", "language", "mean", "low", "high"]
    line = statistics.slope(wide, DISTANCE)
    return pd.DataFrame(means, columns=names), {"ud_parsing": line, "stsb": line}


def drawings() -> dict[str, tuple[Figure, pd.DataFrame]]:
    means, lines = means_and_lines()
    contrast = table(3).query("condition == 'stsb'").assign(condition="")
    last = table(3).query("layer == 2")
    last.loc[last["condition"] == "ccg", "replicates"] = 4
    fewer = table(3)
    fewer.loc[fewer["condition"] == "ud_parsing_shuffled", "replicates"] = 2
    options = {"reference": {PANELS[0]: ("best fixed offset", 51.0)}, "reported": 1}
    return {
        "few": layer_plots.by_layer(fewer, PANELS, "points", SCOPE, **options),
        "many": layer_plots.by_layer(table(13), PANELS, "points", SCOPE, columns=2, zero=True),
        "contrast": layer_plots.by_layer(contrast, PANELS, "difference", SCOPE),
        "conditions": layer_plots.by_condition(last, PANELS, "points", SCOPE),
        "distance": layer_plots.gain_by_distance(
            means, lines, DISTANCE, NAMES, "distance (share)", SCOPE, ["ud_parsing", "stsb"]
        ),
    }


@pytest.fixture(scope="module")
def drawn():
    return drawings()


def words_of(figure: Figure) -> str:
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_every_figure_drawn_twice_is_the_same_bytes(drawn, tmp_path):
    for folder, figures in (("first", drawn), ("second", drawings())):
        for name, (figure, data) in figures.items():
            style.save(figure, data, name, tmp_path / folder)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert len(files) == 3 * len(drawn)
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_every_figure_says_what_its_intervals_are_and_how_many_languages(drawn):
    for name, (figure, _) in drawn.items():
        words = words_of(figure)
        assert "95 % t intervals over 5 encoders" in words, name
        assert name == "conditions" or "8 languages" in words or "4 languages" in words


def test_text_is_readable_and_figures_fit_a_page(drawn):
    for name, (figure, _) in drawn.items():
        assert 3.4 <= figure.get_figwidth() <= 7, name
        sizes = [text.get_size() for text in figure.findobj(lambda a: hasattr(a, "get_fontsize"))
                 if text.get_text()]  # fmt: skip
        assert min(sizes) >= 7.5, name


def test_no_title_or_legend_entry_overlaps_another(drawn):
    for name, (figure, _) in drawn.items():
        figure.draw_without_rendering()
        texts = [axes.title for axes in figure.axes] + [axes._left_title for axes in figure.axes]
        boxes = [text.get_window_extent() for text in texts if text.get_text()]
        for number, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[number + 1 :]), name


def test_few_layers_have_bars_and_many_have_bands_of_the_same_ends(drawn):
    few, many = drawn["few"][0].axes[0], drawn["many"][0].axes[0]
    bars = [path for some in few.collections for path in some.get_paths()]
    assert len(bars) == 3 * len(CONDITIONS)
    assert {round(float(np.ptp(path.vertices[:, 1])), 6) for path in bars} == {8.0}
    assert len(many.collections) == len(CONDITIONS)


def test_a_figure_of_layers_draws_the_values_of_its_table(drawn):
    figure, data = drawn["few"]
    part = data[(data["panel"] == PANELS[0]) & (data["condition"] == "ud_parsing")]
    line = next(line for line in figure.axes[0].lines if line.get_label() == "ud_parsing, n = 5")
    assert list(line.get_ydata()) == part.sort_values("layer")["mean"].tolist()
    assert "best fixed offset" in words_of(figure)


def test_conditions_of_fewer_replicates_say_so(drawn):
    words = words_of(drawn["conditions"][0])
    assert "ccg (4)" in words and "stsb (5)" in words


def test_a_legend_counts_the_replicates_of_each_condition_where_they_differ(drawn):
    said = words_of(drawn["few"][0])
    assert "placebo: shuffled trees, n = 2" in said and "\nstsb, n = 5" in said
    assert "n = " not in words_of(drawn["many"][0])


def test_an_interval_of_two_runs_leaves_room_for_the_others():
    made = table(1).query("condition == 'ud_parsing' or condition == 'ccg'")
    wide = (made["condition"] == "ccg") & (made["panel"] == PANELS[0])
    made.loc[wide, ["low", "high", "replicates"]] = [-400.0, 500.0, 2]
    figure, data = layer_plots.by_condition(made, PANELS, "points", SCOPE)
    cut, whole = figure.axes[0], figure.axes[1]
    sure = data[data["panel"] == PANELS[0]].query("replicates > 2")
    assert sure["high"].max() < cut.get_xlim()[1] < 1.2 * sure["high"].max()
    assert whole.get_xlim()[1] > data[data["panel"] == PANELS[1]]["high"].max()
    assert "of two runs they may go on beyond the panel" in words_of(figure)
    assert "beyond" not in words_of(layer_plots.by_condition(table(1), PANELS, "", SCOPE)[0])


def test_languages_of_one_distance_stand_beside_each_other(drawn):
    figure, data = drawn["distance"]
    points = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert len(set(points)) == 4
    assert max(abs(a - b) for a, b in zip(points, data["distance"][:4], strict=True)) < 0.01
    assert {"Alpha", "Beta", "Gamma", "Delta"} <= set(words_of(figure).split("\n"))
