"""Figures say what they draw, are the same bytes when drawn again, and leave their data behind."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lib import plots, statistics, style

CODES = ["en", "aa", "bb", "cc", "dd"]
DISTANCE = pd.Series([0.0, 0.2, 0.3, 0.5, 0.7], index=CODES)
NAMES = pd.Series(["English", "Alpha", "Beta", "Gamma", "Delta"], index=CODES)
FAMILY = pd.Series(list("EABCD"), index=CODES)
PAIR = ("ud_parsing", "stsb")
CONDITIONS = ["none", "random", *PAIR, "mlm_on_ewt_text", "ccg"]


def scores(seeds: int) -> pd.DataFrame:
    """Return a synthetic tidy table: two tagging targets, and retrieval by layer."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(1, seeds + 1):
        for condition in CONDITIONS:
            for language in CODES:
                for target in ("udpos", "xnli", "tatoeba"):
                    if (target, language) == ("tatoeba", "en"):
                        continue
                    for layer in range(3) if target == "tatoeba" else [pd.NA]:
                        value = 0.8 - DISTANCE[language] / 2 + rng.normal(0, 0.02)
                        reported = layer is pd.NA or layer == 2
                        rows.append((condition, target, language, value, seed, layer, reported))
    names = ["condition", "target", "language", "value", "seed", "layer", "reported"]
    table = pd.DataFrame(rows, columns=names).astype({"layer": "Int64"})
    return table.assign(metric="accuracy", n=500, encoder_seed=1, split="test")


def drawings(seeds: int = 3) -> dict[str, tuple[Figure, pd.DataFrame]]:
    """Draw every figure once."""
    table = scores(seeds)
    scope = statistics.scope(table)
    gains = statistics.gains(table)
    difference = statistics.difference(gains, *PAIR)
    means = statistics.language_means(difference, ["xnli"])
    wide = means.pivot(index="replicate", columns="language", values="difference")
    line = statistics.slope(wide, DISTANCE, np.linspace(0.2, 0.7, 5))
    contrast = statistics.contrast(difference, ["xnli"], FAMILY)
    log = pd.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.5]})
    bars = pd.DataFrame({"language": ["Alpha", "Beta"], "value": [0.5, 0.4], "floor": [0.3, 0.3]})
    return {
        "gains": plots.gains_by_target(gains, scope),
        "scores": plots.scores_by_language(table, DISTANCE, NAMES, scope),
        "distance": plots.difference_by_distance(
            means, line, DISTANCE, NAMES, PAIR, ["xnli"], "distance (share)", scope
        ),
        "forest": plots.contrast_forest(contrast, PAIR, scope),
        "loss": plots.loss_curve(log),
        "bars": plots.accuracy_by_language(bars, "udpos"),
        "tree": plots.dependency_tree(["dogs", "bark"], [2, 0], ["nsubj", "root"]),
    }


@pytest.fixture(scope="module")
def drawn():
    return drawings()


def words_of(figure: Figure) -> str:
    """Return every text of a figure."""
    figure.draw_without_rendering()
    return "\n".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_every_figure_drawn_twice_is_the_same_bytes(drawn, tmp_path):
    for name, (figure, table) in drawn.items():
        style.save(figure, table, name, tmp_path / "first")
    for name, (figure, table) in drawings().items():
        style.save(figure, table, name, tmp_path / "second")
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert len(files) == 3 * len(drawn)
    for name in files:
        first, second = ((tmp_path / run / name).read_bytes() for run in ("first", "second"))
        assert first == second, name


def test_the_csv_holds_the_data_drawn(drawn, tmp_path):
    figure, table = drawn["forest"]
    style.save(figure, table, "forest", tmp_path)
    stored = pd.read_csv(tmp_path / "forest.csv")
    points = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_markersize() >= 6
              and line.get_marker() in "oD"]  # fmt: skip
    assert points == pytest.approx(stored["mean"].tolist(), rel=1e-5)


def test_the_languages_of_the_distance_figure_lie_where_its_table_says(drawn):
    figure, table = drawn["distance"]
    points = table[table["kind"] == "language"]
    (cloud,) = figure.axes[0].collections[-1:]
    assert np.asarray(cloud.get_offsets()) == pytest.approx(points[["distance", "mean"]].to_numpy())
    expected = statistics.difference(statistics.gains(scores(3)), *PAIR).query("target == 'xnli'")
    means = 100 * expected.groupby("language")["difference"].mean()
    assert points.set_index("language")["mean"].to_dict() == pytest.approx(means.to_dict())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "gains",
            ["points", "udpos\n4 languages", "ud_parsing", "ccg", "no score in en", "3 seeds"],
        ),
        ("scores", ["score (points)", "Alpha", "random encoder (floor)", "n = 500", "95 %"]),
        ("distance", ["distance (share)", "points", "Alpha", "Delta", "4 languages, 3 seeds"]),
        ("forest", ["udpos (not clean), 4 languages", "clean mean", "points", "Holm p"]),
        ("loss", ["updates", "loss (nats)"]),
        ("bars", ["Alpha", "accuracy (points)", "floor"]),
        ("tree", ["dogs", "bark", "nsubj"]),
    ],
)
def test_a_figure_names_its_axes_units_and_counts(drawn, name, expected):
    words = words_of(drawn[name][0])
    for text in expected:
        assert text in words


def test_the_headline_claims_a_trend_only_where_the_interval_excludes_zero():
    means = pd.DataFrame({"language": CODES[1:], "replicate": "1", "difference": 0.0})
    band = pd.DataFrame({"distance": [0.2, 0.7], "mean": 0.0, "low": 0.0, "high": 0.0})
    for ends, words in (
        ((1, 0.5, 1.5), "The farther the language, the more ud_parsing gains on stsb"),
        ((-1, -1.5, -0.5), "The farther the language, the more stsb gains on ud_parsing"),
        ((1, -0.5, 2.5), "no detectable trend"),
        ((1, np.nan, np.nan), "too few runs"),
    ):
        line = statistics.Line(statistics.Interval(*ends), band)
        figure, _ = plots.difference_by_distance(
            means, line, DISTANCE, NAMES, PAIR, ["xnli"], "distance", "1 seed"
        )
        assert words in words_of(figure)


def test_one_seed_is_drawn_without_intervals_and_says_so():
    single = drawings(seeds=1)
    for name in ("gains", "scores", "forest", "distance"):
        figure, table = single[name]
        assert table["low"].isna().all()
        words = words_of(figure)
        assert ("no intervals" in words or "too few runs" in words) and "nan" not in words


def test_no_text_of_a_figure_is_cut_off(monkeypatch):
    monkeypatch.setattr(statistics, "scope", lambda table: "6 seeds, given these 2 encoders")
    for name, (figure, _) in drawings().items():
        figure.draw_without_rendering()
        whole, inside = figure.get_tightbbox(), figure.get_size_inches()
        assert whole.x0 > -0.02 and whole.x1 < inside[0] + 0.02, name
        assert whole.y0 > -0.02 and whole.y1 < inside[1] + 0.02, name


@pytest.mark.parametrize(("runs", "cut"), [(2, True), (8, False)])
def test_an_interval_over_two_runs_does_not_squeeze_the_others(runs: int, cut: bool) -> None:
    rows = pd.DataFrame({"mean": [1.0, -2.0], "low": [0.5, -50.0], "high": [1.5, 46.0],
                         "replicates": [8, runs]})  # fmt: skip
    axes = Figure().subplots()
    axes.plot([-50, 46], [0, 0])
    assert style.cut_at(axes, rows) == cut
    assert (axes.get_xlim()[1] < 3) == cut and axes.get_xlim()[0] < -2
