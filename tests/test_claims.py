"""The ledger walks all twenty claims, and each verdict follows from planted effects."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib import claims, evidence, paths, profile, tasks
from lib.errors import InputError
from lib.evidence import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED, Study
from lib.profile import Profile

LARGE = profile.load("xtreme_large", whole=True)
NINE = evidence.each_alone(LARGE)
RETRIEVAL = ("bucc", "tatoeba")
Effect = Callable[[str, str, int], float]


def planted(
    effect: Effect, settings: profile.Profile = LARGE, conditions: list[str] | None = None
) -> Study:
    """Return scores where a condition gains `effect(condition, target, seed)` points over none."""
    played = [claim.plays(settings) for claim in claims.CLAIMS]
    conditions = conditions or sorted({name for names in played for name in names})
    languages = [code for code in ("en", "de", "zh", "qaa", "qab") if code in settings.languages]
    rows = []
    for seed, encoder in settings.seeds.items():
        for name in ["none", *conditions]:
            for target in settings.targets:
                points = 0.0 if name == "none" else effect(name, target, seed)
                value = 0.4 + points / 100 + 1e-4 * seed * (name != "none")
                splits = [(code, "test", True) for code in languages]
                if tasks.get(target).kind == "retrieval":
                    splits = splits[1:]
                else:
                    splits.append(("en", "development", False))
                for language, split, reported in splits:
                    rows.append((name, target, language, value, seed, encoder, split, reported))
    names = ["condition", "target", "language", "value", "seed", "encoder_seed", "split"]
    table = pd.DataFrame(rows, columns=[*names, "reported"])
    metric = table["target"].map(lambda name: tasks.get(name).reported)
    return Study(settings, table.assign(metric=metric, n=500, layer=pd.NA))


def verdicts(study: Study) -> pd.DataFrame:
    """Return a study's rows of the ledger, by the number of the claim."""
    found = claims.ledger([study])
    return found[found["profile"] == study.settings.name].set_index("claim")


def always(points: float) -> Effect:
    return lambda name, target, seed: points


def of(conditions: list[str], points: float, other: float = 0.0) -> Effect:
    return lambda name, target, seed: points if name in conditions else other


def in_targets(targets: tuple[str, ...], points: float, other: float) -> Effect:
    return lambda name, target, seed: points if target in targets else other


JOINT = [name for name in LARGE.conditions if name.endswith("-joint_mlm")]
TRUE = {
    4: of(["squad-3epochs"], 8.2),
    5: of(["mnli-3epochs"], 7.5),
    6: of(["hellaswag-3epochs"], 7.0),
    7: of(["multitask"], 8.7),
    8: in_targets(RETRIEVAL, 20, 2),
    10: in_targets(("tydiqa",), 5, 0),
    11: in_targets(("xnli",), 0, 5),
    12: always(5.4),
    13: of(JOINT, 1, other=3),
    14: of(["mnli_translated-3epochs"], 1, other=3),
}
FALSE = {number: always(-4) for number in (4, 5, 6, 7, 8, 10, 12)} | {
    11: in_targets(("xnli",), 4, 0),
    13: of(JOINT, 3, other=1),
    14: of(["mnli_translated-3epochs"], 3, other=1),
}


def noisy(name: str, target: str, seed: int) -> float:
    """Return a gain that the seeds do not agree on, and the compared conditions neither."""
    sign = -1 if name in JOINT or "translated" in name else 1
    return sign * {1: -12.0, 2: 1.0, 3: 14.0}[seed]


@pytest.mark.parametrize("number", TRUE)
def test_a_planted_effect_supports_its_claim_and_the_opposite_contradicts_it(number: int) -> None:
    claim = claims.CLAIMS[number - 1]
    assert claim.number == number and claim.found
    for effect, verdict in ((TRUE[number], SUPPORTED), (FALSE[number], CONTRADICTED)):
        study = planted(effect, conditions=claim.plays(LARGE))
        assert claim.found(study, claim.plays(study.run)).verdict == verdict


def test_where_seeds_disagree_no_claim_of_an_effect_is_decided() -> None:
    found = verdicts(planted(noisy))
    assert set(found.index) == set(TRUE)
    assert set(found["verdict"]) == {UNDECIDED}
    assert (found["low"] < 0).all() and (found["high"] > 0).all()


def test_a_ledger_has_every_claim_and_a_profile_without_the_conditions_says_what_it_needs() -> None:
    world = profile.load("world", whole=True)
    rows = [(name, "xnli", code, 0.5, seed, seed) for name in ("none", "ud_parsing")
            for code in ("en", "qaa") for seed in (1, 2)]  # fmt: skip
    table = pd.DataFrame(
        rows, columns=["condition", "target", "language", "value", "seed", "encoder_seed"]
    ).assign(metric="accuracy", n=9, split="test", layer=pd.NA, reported=True)
    found = claims.ledger([Study(world, table)])
    assert sorted(found["claim"].unique()) == list(range(1, 21))
    own = found[found["profile"] == "world"]
    assert set(own["claim"]) == set(TRUE) and set(own["verdict"]) == {UNTESTED}
    assert own["note"].str.contains("xtreme_large").all()
    reference = found[found["profile"] == "xtreme_large"].set_index("claim")
    assert "make figures PROFILE=xtreme_large" in reference.loc[5, "note"]
    assert "mnli-3epochs" in reference.loc[5, "note"]


CHECKED = [1, 2, 3, 9, 15, 16, 17, 18, 19, 20]


def test_claims_about_data_and_design_are_checked_against_task_table_and_published_facts() -> None:
    found = claims.ledger([]).set_index("claim")
    checked = found[found["profile"] == claims.TABLE]
    assert checked.index.tolist() == CHECKED
    assert set(checked["verdict"]) == {SUPPORTED}
    assert checked.loc[[2, 3, 15, 20], "evidence"].tolist() == [9, 40, 9, 3]
    # ANLI's rounds have 16,946 + 45,460 + 100,459 examples, SNLI and MNLI together 942,069.
    assert checked.loc[16, "evidence"] == 16_946 + 45_460 + 100_459 + 942_069


def test_each_claim_about_data_and_design_fails_where_something_else_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {
        "tatoeba": {"train": ("mnli",)},
        "panx": {"languages": ("de", "en")},
        "anli": {"published_size": 1_000_000},
        "mnli": {"published_size": 433_000},
        "squad_v2": {"kind": "classification", "reported": "accuracy"},
        "hellaswag": {"published_size": 70_000},
    }
    rows = {name: replace(tasks.get(name), **change) for name, change in changed.items()}
    other = LARGE.encoder.model_copy(update={"path": "FacebookAI/xlm-roberta-base"})
    smaller = LARGE.model_copy(
        update={"encoder": other, "targets": {"xnli": LARGE.targets["xnli"]}}
    )
    monkeypatch.setattr(tasks, "TASKS", tasks.TASKS | rows)
    monkeypatch.setattr(claims.profile, "load", lambda *_, **__: smaller)
    monkeypatch.setattr(evidence, "nine", lambda: ("mnli", "squad"))
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    checks = {claim.number: claim.check for claim in claims.CLAIMS if claim.check}
    failing = [number for number, check in checks.items() if check().verdict == CONTRADICTED]
    assert failing == CHECKED


def test_a_gain_of_another_size_contradicts_the_claim_only_in_its_own_setting() -> None:
    row = verdicts(planted(of(["squad-3epochs"], 3))).loc[4]
    assert row["verdict"] == CONTRADICTED and "direction is as claimed" in row["note"]
    full = profile.load("world_full", whole=True)
    row = verdicts(planted(of(["squad_v2"], 3), full)).loc[4]
    assert row["verdict"] == "direction supported" and "direction only" in row["note"]
    assert row["evidence"] == pytest.approx(3 + 0.01 * np.mean(list(full.seeds)))


def test_several_tasks_that_are_not_the_nine_say_nothing_of_the_size() -> None:
    full = profile.load("world_full", whole=True)
    row = verdicts(planted(of(["multitask"], 2), full)).loc[7]
    assert row["verdict"] == "direction supported"
    assert "trains ud_parsing, stsb" in row["note"]
    eight = LARGE.conditions["multitask-no_ccg"]
    without = LARGE.model_copy(update={"conditions": LARGE.conditions | {"multitask": eight}})
    row = verdicts(planted(of(["multitask"], 8.7), without)).loc[7]
    assert row["verdict"] == "direction supported"


def test_dramatic_in_retrieval_is_more_than_elsewhere() -> None:
    assert verdicts(planted(always(3))).loc[8, "verdict"] == UNDECIDED
    row = verdicts(planted(in_targets(RETRIEVAL, 3, 9))).loc[8]
    assert row["verdict"] == CONTRADICTED and "−6.0 points" in row["note"]


def test_one_task_of_nine_that_does_not_gain_still_leaves_almost_every_one() -> None:
    def without(*names: str) -> Effect:
        return lambda name, target, seed: (
            (-5.0 if name in names else 20.0) if target in RETRIEVAL else 1.0
        )

    assert verdicts(planted(without(NINE[0]))).loc[8, "verdict"] == SUPPORTED
    assert verdicts(planted(without(*NINE[:2]))).loc[8, "verdict"] == CONTRADICTED


def test_a_small_gain_in_xnli_is_no_gain_only_where_the_interval_is_small() -> None:
    assert verdicts(planted(in_targets(("xnli",), -0.2, 0))).loc[11, "verdict"] == SUPPORTED
    row = verdicts(planted(in_targets(("xnli",), 0.5, 0))).loc[11]
    assert row["verdict"] == CONTRADICTED  # a gain, though small, that every seed agrees on
    assert "mnli" not in row["note"].split(",")[0] and "anli" not in row["note"]


def test_tables_of_other_profiles_are_those_committed_and_the_own_must_have_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIGURES_ROOT", str(tmp_path / "figures"))
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    with pytest.raises(InputError, match="make figures PROFILE=xtreme_large"):
        claims.studies(LARGE)
    study = planted(always(1))
    folder = tmp_path / "figures/world_full"
    folder.mkdir(parents=True)
    full = planted(always(2), profile.load("world_full", whole=True))
    full.table.to_csv(folder / "scores.csv", index=False)
    monkeypatch.setattr(claims.results, "collect", collected := _only("xtreme_large", study.table))
    found = claims.studies(LARGE)
    assert [each.settings.name for each in found] == ["xtreme_large", "world_full"]
    assert "tiny" not in collected.asked
    # Only the seeds that run the condition, whatever else a table holds.
    seeds = found[1].settings.seeds_of("mnli")
    row = claims.ledger(found).set_index(["claim", "profile"]).loc[(5, "world_full")]
    assert row["n"] == len(seeds) == 4


class _only:
    """Stand in for `results.collect`: one profile has results."""

    def __init__(self, name: str, table: pd.DataFrame) -> None:
        self.name, self.table, self.asked = name, table, []

    def __call__(self, study: Profile) -> pd.DataFrame:
        self.asked.append(study.name)
        if study.name != self.name:
            raise InputError(f"{study.name}: no finished cell")
        return self.table


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower().replace(",", ""))


def test_statements_are_in_our_own_words() -> None:
    reports = list((paths.REPOSITORY.parent / "shared").glob("000_*.txt"))
    if not reports:
        pytest.skip("the report whose claims these are is not beside this repository")
    theirs = words(reports[0].read_text(encoding="utf-8"))
    runs = {tuple(theirs[start : start + 6]) for start in range(len(theirs) - 5)}
    for claim in claims.CLAIMS:
        own = words(claim.statement)
        shared = [own[at : at + 6] for at in range(len(own) - 5) if tuple(own[at : at + 6]) in runs]
        assert not shared, claim.number
