"""Lines that translate one another are found by their order, their lengths and what both hold."""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
import yaml

from lib import evaluation, paths, pretraining, profile, text_blocks, translations, trials
from lib.errors import InputError
from lib.profile import Profile

Text = tuple[list[str], list[str], set[tuple[int, int]]]


def two_texts(lines: int, kept: float, seed: int, names: bool = True) -> Text:
    """Write lines in two scripts, lose some of each, and say which of the rest belong together."""
    chance = random.Random(seed)
    first, second, together = [], [], set()
    for number in range(lines):
        length = chance.randint(2, 25)
        name = f" Name{number % 40} {chance.randint(1, 999)}" if names and number % 3 == 0 else ""
        ours = " ".join("a" * chance.randint(1, 9) for _ in range(length)) + name
        theirs = "ж" * round(len(ours) * chance.gauss(1.2, 0.1)) + name
        both = chance.random() < kept, chance.random() < kept
        if all(both):
            together.add((len(first), len(second)))
        first += [ours] if both[0] else []
        second += [theirs] if both[1] else []
    return first, second, together


@pytest.mark.parametrize(("kept", "names"), [(1.0, False), (0.97, False), (0.85, True)])
def test_lines_are_paired_though_some_are_missing_on_either_side(kept: float, names: bool) -> None:
    first, second, together = two_texts(800, kept, seed=1, names=names)
    found = set(translations.pair(first, second))
    assert len(found & together) > 0.9 * len(found)
    assert len(found & together) > 0.7 * len(together)


def test_pairs_rise_in_both_texts_and_are_the_same_seen_from_the_other() -> None:
    first, second, _ = two_texts(300, 0.9, seed=2)
    found = translations.pair(first, second)
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(found))
    other = {(b, a) for a, b in translations.pair(second, first)}
    assert len(other & set(found)) > 0.95 * len(found)


def test_an_empty_text_has_no_pairs() -> None:
    assert translations.pair([], ["a"]) == [] == translations.pair(["a"], [])


@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_few_lines_are_paired_as_many_are(number: int) -> None:
    lines = [f"{'a' * (3 + 9 * place)} Name{place} {place}7" for place in range(number)]
    found = translations.pair(lines, [line.replace("a", "ж") for line in lines])
    assert set(found) <= {(place, place) for place in range(number)}
    assert translations.pair(["a"], ["b"] * 20_000) == []


@pytest.fixture
def load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: Callable[[Path], Any]
) -> Callable[..., Profile]:
    """Return a loader of a profile with other keys for phase 1, on a mirror of two languages."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "mirror"))
    monkeypatch.setattr(paths, "PROFILES", tmp_path)
    write = writer(tmp_path / "mirror")
    first, second, _ = two_texts(400, 0.95, seed=5)
    for code, lines in (("en", first), ("de", second)):
        rows = {"text": [*lines, f"only {code}"], "source": ["docs"] * len(lines) + ["news"]}
        write("multilingual-text", code, "train", rows)
    whole = yaml.safe_load((paths.REPOSITORY / "notebooks/profiles/small_cpu.yaml").read_text())

    def one(**keys: Any) -> Profile:
        content = whole | {
            "languages": ["en", "de"],
            "encoder": {"layers": 1, "hidden_size": 16, "vocabulary_size": 200,
                        "feed_forward_size": 16},
            "pretraining": {"tokens": 4096, "block_tokens": 64} | keys,
            "targets": {"udpos": {"updates": 1}, "panx": {"updates": 1}, "tatoeba": {}},
            "clean_targets": ["panx"],
        }  # fmt: skip
        (tmp_path / "pairs.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return profile.load("pairs")

    return one


def test_every_second_pair_has_the_translation_first_and_held_out_lines_stay_out(
    load: Callable[..., Profile],
) -> None:
    settings = load(translations=["docs"])
    text = text_blocks.texts_of(settings)
    held_out = {code: {*lines[::50]} for code, lines in text.items()}
    read, others = (each["de"] for each in translations.load(settings, held_out))
    assert len(read) > 250 and not set(read) & set(others)
    assert others and all(one in held_out["en"] or other in held_out["de"] for one, other in others)
    lines = translations.joined(read)
    assert all(line.startswith("a") for line in lines[::2])
    assert all(line.startswith("ж") for line in lines[1::2])
    sides = {"en": lines[1::2], "de": lines[::2]}  # each behind its translation
    for code, other in (("en", "de"), ("de", "en")):
        held = {line for line in held_out[code] if "Name" in line}
        assert held and not any(line.endswith(f" {each}") for line in sides[code] for each in held)
        assert not any(line.startswith(f"{each} ") for line in sides[other] for each in held)
    assert not any("only" in line for line in lines)


def test_pretraining_reads_the_pairs_and_says_how_many(load: Callable[..., Profile]) -> None:
    plain, paired = (load(translations=names) for names in ([], ["docs"]))
    facts = pretraining.run(paired, 1).facts
    assert facts["pairs"]["de"] > 250
    assert set(facts["text_tokens"]) == {"en", "de"}
    # A record made before there was such a key stands as it is.
    assert "translations" not in pretraining.parameters(plain, 1)["pretraining"]
    assert pretraining.parameters(paired, 1)["pretraining"]["translations"] == ["docs"]


def test_what_phase_1_is_trained_on_has_pairs_and_nothing_that_is_held_out(
    load: Callable[..., Profile],
) -> None:
    settings = load(translations=["docs"])
    prepared = text_blocks.prepare(settings, 1)
    blocks, special = prepared.blocks, set(prepared.tokenizer.all_special_ids)
    data = text_blocks.masked(settings, blocks, prepared.tokenizer, 400, settings.pretraining, 1)
    drawn = {place for batch in data.plan for place in batch}
    text = sum(len(of) for of in blocks.read.values())
    assert {place >= text for place in drawn} == {True, False}
    assert max(drawn) < text + sum(len(of) for of in blocks.pairs.values())

    def streams(of: torch.Tensor) -> str:
        return " ".join(str(token) for token in of.flatten().tolist() if token not in special)

    named = [line for line in text_blocks.texts_of(settings)["de"][::50] if "Name" in line]
    found = [
        " ".join(map(str, prepared.tokenizer(line, add_special_tokens=False)["input_ids"]))
        for line in named
    ]
    judged = streams(blocks.held_out["de"])
    read = streams(torch.cat([*blocks.read.values(), *blocks.pairs.values()]))
    assert any(line in judged for line in found)
    assert not any(line in read for line in found)


def test_an_encoder_that_starts_aligned_is_another_and_says_so(
    load: Callable[..., Profile],
) -> None:
    plain, aligned = (load(translations=["docs"], aligned_embeddings=how) for how in (False, True))
    assert "aligned_embeddings" not in pretraining.parameters(plain, 1)["pretraining"]
    assert pretraining.parameters(aligned, 1)["pretraining"]["aligned_embeddings"]
    first, second = (
        pretraining.untrained(each, text_blocks.prepare(each, 1), 1).state_dict()
        for each in (plain, aligned)
    )
    tied = {"lm_head.decoder.weight", "roberta.embeddings.word_embeddings.weight"}
    assert {name for name in first if not torch.equal(first[name], second[name])} == tied


def test_a_trial_says_which_share_of_held_out_translations_it_finds(
    load: Callable[..., Profile], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(translations=["docs"])
    number = len(text_blocks.prepare(settings, 1).facts["held_out_pairs"]["de"])
    swapped = np.eye(number)[[1, 0, *range(2, number)]]

    def embed(model: Any, side: Sequence[str], *_: Any, **__: Any) -> Any:
        return np.stack([np.eye(number), swapped if "ж" in side[0] else np.eye(number)])

    monkeypatch.setattr(evaluation, "embed", embed)  # of one layer, the last is reported
    found = trials.run(settings, minutes=0.005)["translations_found"]
    assert found == pytest.approx((number - 2) / number, abs=1e-4) and number > 5


def test_a_source_that_is_not_there_is_refused_by_name(load: Callable[..., Profile]) -> None:
    settings = load(translations=["news", "bible"])
    with pytest.raises(InputError, match="no source 'bible'; expected some of docs, news"):
        translations.load(settings, {"en": set(), "de": set()})


def test_lines_in_another_script_are_left_out_of_a_text_that_has_its_own() -> None:
    lines = ["жук ест", "zhuk yest", "Linux", "жжж Linux", "123", "жаба"]
    assert translations.in_own_script(lines) == [True, False, False, True, True, True]
    assert all(translations.in_own_script(["one", "two", "жук"]))


@pytest.mark.parametrize("code", ["de", "tr", "ar", "zh"])
def test_real_translations_are_found(
    mirror: Path, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SIB-200 holds the same sentences in the same order: place 1 translates place 1. Chinese has
    # them in two scripts, and Arabic behind them once more in Latin letters.
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    settings = profile.load("small_cpu_encoders")
    first, second = (translations._by_source(settings, each)["sib200"] for each in ("en", code))
    number = len(first)
    assert len(second) == number * (2 if code == "zh" else 1)
    pairs = translations.pair(first, second)
    right = sum(i == j % number for i, j in pairs)
    assert right > 0.9 * number and right > 0.95 * len(pairs)
