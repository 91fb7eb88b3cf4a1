"""Text is cut once, kept, and read again as it was; it may travel without the text itself."""

import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
import torch

from lib import corpora, feature_cache, paths, pretraining, profile, text_blocks
from lib.profile import Profile
from lib.text_blocks import Prepared


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., None]) -> Profile:
    """Return a profile of two real languages whose mirror, and store, are the test's own."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    lines(write, "en", 300)
    lines(write, "de", 300)
    settings = profile.load("small_cpu")
    own = settings.encoder.model_copy(update={
        "path": "", "vocabulary_size": 150, "layers": 1, "hidden_size": 16})  # fmt: skip
    budget = settings.pretraining.model_copy(update={"tokens": 2048, "block_tokens": 16})
    return settings.model_copy(
        update={"languages": ["en", "de"], "encoder": own, "pretraining": budget}
    )


def lines(write: Callable[..., None], code: str, number: int) -> None:
    text = [f"{code} line {i} of {chr(97 + i % 26) * (1 + i % 7)}" for i in range(number)]
    write("multilingual-text", code, "train", {"text": text, "source": ["s"] * number})


def same(one: Prepared, other: Prepared) -> bool:
    text = ["en line 3 of aaaa"]
    return (
        one.facts == other.facts
        and one.tokenizer(text)["input_ids"] == other.tokenizer(text)["input_ids"]
        and all(
            list(first) == list(second) and all(torch.equal(first[c], second[c]) for c in first)
            for first, second in (
                (getattr(one.blocks, part), getattr(other.blocks, part))
                for part in ("read", "held_out", "pairs")
            )
        )
    )


def test_what_is_kept_is_what_was_cut(real: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    with corpora.recording() as data:
        cut = text_blocks._make(real, 1, data)
    first = text_blocks.prepare(real, 1)
    assert same(first, cut)
    monkeypatch.setattr(text_blocks, "_make", None)  # nothing is cut again
    with corpora.recording() as data:
        again = text_blocks.prepare(real, 1)
    assert same(first, again)
    assert set(data) == {"multilingual-text/en", "multilingual-text/de"}
    assert first.blocks.tokens["en"] == len(first.blocks.read["en"]) * 15


def test_what_is_judged_is_an_even_sample_of_what_is_held_out(real: Profile) -> None:
    tokenizer = text_blocks.prepare(real, 1).tokenizer
    # Source by source: the second half is of other words.
    number = 2 * 50 * text_blocks.HELD_OUT_BLOCKS * 4
    lines = ["en line aaaa"] * (number // 2) + ["de of bbbb"] * (number // 2)
    held_out = text_blocks.cut({"en": lines}, tokenizer, 16).held_out["en"]
    assert len(held_out) == text_blocks.HELD_OUT_BLOCKS
    early, late = (set(tokenizer(text, add_special_tokens=False)["input_ids"])
                   for text in ("aaaa", "bbbb"))  # fmt: skip
    of_late = [bool(late & set(block)) and not early & set(block) for block in held_out.tolist()]
    assert sum(of_late) == pytest.approx(text_blocks.HELD_OUT_BLOCKS / 2, abs=8)


def test_a_text_that_changed_is_cut_anew(real: Profile, write: Callable[..., None]) -> None:
    before = text_blocks.prepare(real, 1).facts["characters"]
    lines(write, "de", 200)
    corpora._table.cache_clear()
    after = text_blocks.prepare(real, 1).facts["characters"]
    assert after["de"] < before["de"] and after["en"] == before["en"]


def test_other_settings_of_the_text_are_kept_apart_and_those_of_training_are_not(
    real: Profile,
) -> None:
    def folder(**changes: object) -> Path:
        budget = real.pretraining.model_copy(update=changes)
        return text_blocks.kept_in(real.model_copy(update={"pretraining": budget}), 1)

    assert folder() == folder(learning_rate=1.0, tokens=5, masking_probability=0.4)
    assert len({folder(), folder(block_tokens=32), folder(translations=["s"])}) == 3


def test_an_encoder_is_trained_where_the_blocks_are_but_the_text_is_not(
    real: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = pretraining.run(real, 1).facts
    shutil.rmtree(tmp_path / "multilingual-text")
    shutil.rmtree(tmp_path / "results" / real.name)
    there = pretraining.run(real, 1).facts
    for key in ("data", "files", "log", "text_tokens", "parameters_hash"):
        assert here[key] == there[key]


@pytest.mark.parametrize("damaged", ["blocks.safetensors", "facts.json", "tokenizer.json"])
def test_damaged_blocks_are_cut_anew(real: Profile, damaged: str) -> None:
    first = text_blocks.prepare(real, 1)
    file = text_blocks.kept_in(real, 1) / damaged
    file.write_bytes(file.read_bytes()[:50])
    assert same(text_blocks.prepare(real, 1), first)
    assert file.stat().st_size > 50


def test_without_room_blocks_are_not_kept_and_training_goes_on(
    real: Profile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(text_blocks, "_write", full)
    made = text_blocks.prepare(real, 1)
    assert made.blocks.read and not text_blocks.kept_in(real, 1).exists()
    assert f"{paths.features()}: blocks are not kept: No space left" in capsys.readouterr().err


def test_an_encoder_reads_text_that_changed_since_by_its_own_tokenizer(
    real: Profile, write: Callable[..., None]
) -> None:
    before = text_blocks.prepare(real, 1)
    assert not text_blocks.monolingual(real, 1, before.tokenizer).pairs
    other = [f"{chr(120 - i % 20) * 3} new {i}" for i in range(300)]
    write("multilingual-text", "de", "train", {"text": other, "source": ["s"] * 300})
    corpora._table.cache_clear()
    after = text_blocks.prepare(real, 1)
    assert len({feature_cache.fingerprint(each.tokenizer) for each in (before, after)}) == 2
    found = text_blocks.monolingual(real, 1, before.tokenizer)
    expected = text_blocks.cut({"de": other}, before.tokenizer, 16)
    assert torch.equal(found.read["de"], expected.read["de"])


def test_a_language_without_translations_has_no_pairs_and_a_line_says_so(
    real: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = text_blocks.prepare(real, 1).tokenizer
    texts = text_blocks.texts_of(real)
    blocks = text_blocks.cut(texts, tokenizer, 16, {"de": texts["de"], "jv": []})
    assert list(blocks.pairs) == ["de"]
    assert "no translations, or too few for a block, of jv" in capsys.readouterr().out
