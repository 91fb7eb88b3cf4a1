"""Examples that flip between two conditions, counted by hand and by statsmodels."""

import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from lib import flips, profile, results, tasks
from lib.errors import InputError


@pytest.fixture
def store(tmp_path, monkeypatch):  # type: ignore[no-untyped-def]
    """Return a writer of one cell's predictions in one language."""
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))

    def write(condition: str, seed: int, values: dict[str, float], language: str = "qaa") -> None:
        folder = results.Cell("world", "transfer", seed, condition, "udpos").folder
        folder.mkdir(parents=True)
        table = pd.DataFrame({"language": language, "id": list(values), "value": values.values()})
        table.to_parquet(folder / "predictions.parquet")

    return write


def test_an_example_flips_where_it_is_wholly_right_under_one_condition_alone(store) -> None:  # type: ignore[no-untyped-def]
    store("ud_parsing", 1, {"0": 1.0, "1": 1.0, "2": 0.5, "3": 0.9, "4": 1.0})
    # In another order: examples are matched by id, not by place.
    store("none", 1, {"4": 0.0, "3": 1.0, "2": 0.8, "1": 1.0, "0": 0.99})
    found = flips.flips(profile.load("world"), "ud_parsing", "none", "udpos", "qaa")
    (row,) = flips.counts(found).to_dict("records")
    assert row == {"seed": 1, "examples": 5, "both": 1, "only_first": 2, "only_second": 1,
                   "neither": 1, "p": 1.0}  # fmt: skip


def test_the_p_value_is_that_of_mcnemars_exact_test(store) -> None:  # type: ignore[no-untyped-def]
    first = [1.0] * 14 + [0.0] * 6 + [1.0] * 7 + [0.0] * 3
    second = [0.0] * 14 + [1.0] * 6 + [1.0] * 7 + [0.0] * 3
    for name, values in (("ud_parsing", first), ("stsb", second)):
        store(name, 2, {str(i): value for i, value in enumerate(values)})
    found = flips.flips(profile.load("world"), "ud_parsing", "stsb", "udpos", "qaa")
    (p,) = flips.counts(found)["p"]
    assert p == pytest.approx(mcnemar([[7, 14], [6, 3]], exact=True).pvalue)


def test_seeds_are_compared_each_with_itself_and_one_sided_seeds_are_left_out(store) -> None:  # type: ignore[no-untyped-def]
    store("ud_parsing", 1, {"0": 1.0})
    store("ud_parsing", 2, {"0": 0.0})
    store("none", 1, {"0": 0.0})
    store("none", 3, {"0": 1.0})
    found = flips.flips(profile.load("world"), "ud_parsing", "none", "udpos", "qaa")
    assert list(found["seed"]) == [1]
    with pytest.raises(InputError, match="no seed has predictions under both 'stsb' and 'none'"):
        flips.flips(profile.load("world"), "stsb", "none", "udpos", "qaa")


def test_a_language_that_was_not_evaluated_is_one_clear_line(store) -> None:  # type: ignore[no-untyped-def]
    store("ud_parsing", 1, {"0": 1.0})
    store("none", 1, {"0": 0.0})
    with pytest.raises(InputError, match="udpos in 'qab'"):
        flips.flips(profile.load("world"), "ud_parsing", "none", "udpos", "qab")


def test_the_steadiest_flips_come_first_and_each_direction_has_its_own() -> None:
    rows = [
        # id, values under the first condition in seeds 1 to 3, and under the second
        ("10", (1, 1, 1), (0, 0, 0)),
        ("9", (1, 1, 0), (0, 0, 0)),
        ("2", (1, 1, 1), (0.5, 0.5, 0.5)),
        ("7", (0, 0, 0), (1, 0, 0)),
        ("1", (1, 0, 1), (1, 0, 1)),
    ]
    found = pd.DataFrame(
        [
            {"seed": seed, "id": name, "value": first[seed - 1], "value_other": second[seed - 1]}
            for name, first, second in rows
            for seed in (1, 2, 3)
        ]
    )
    found["right"], found["right_other"] = found["value"] == 1, found["value_other"] == 1
    gained = flips.steadiest(found, 3)
    # Of equal margins the larger difference of values leads.
    assert list(gained["id"]) == ["10", "2", "9"]
    assert list(gained["right"]) == [3, 3, 2] and list(gained["right_other"]) == [0, 0, 0]
    lost = flips.steadiest(found, 3, gained=False)
    assert lost[["id", "right", "right_other", "seeds"]].to_dict("records") == [
        {"id": "7", "right": 0, "right_other": 1, "seeds": 3}
    ]
    assert len(flips.steadiest(found, 1)) == 1


def test_equal_flips_stand_in_the_order_of_numbers_not_of_letters() -> None:
    found = pd.DataFrame(
        {"seed": 1, "id": ["10", "9"], "value": 1.0, "value_other": 0.0, "right": True,
         "right_other": False}
    )  # fmt: skip
    assert list(flips.steadiest(found, 2)["id"]) == ["9", "10"]


def test_every_kind_of_example_says_its_text_and_what_is_right() -> None:
    tagged = {"words": ["Ana", "sleeps"], "tags": ["B-PER", "O"]}
    assert flips.described(tasks.get("panx"), tagged) == {"sentence": "Ana/B-PER sleeps"}
    pair = {"sentence1": "a", "sentence2": "b", "label": "neutral"}
    assert flips.described(tasks.get("xnli"), pair) == {
        "first": "a", "second": "b", "right": "neutral"
    }  # fmt: skip
    context = "x" * 100 + "red" + "y" * 100
    asked = {"question": "which?", "context": context, "answers": ["red", "red"]}
    said = flips.described(tasks.get("xquad"), asked)
    assert said["right"] == "red" and said["context"] == f"…{'x' * 70}red{'y' * 70}…"
    translated = {"source": "uno", "target": "one"}
    assert flips.described(tasks.get("tatoeba"), translated) == {
        "sentence": "uno", "translation": "one"
    }  # fmt: skip
