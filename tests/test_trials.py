"""Trials of an encoder are judged by held-out text, and change nothing but what they say."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from lib import paths, pretraining, text_blocks, trials
from lib.errors import InputError
from lib.profile import Profile


def test_a_trial_changes_the_keys_it_names_and_makes_an_encoder_of_our_own(micro: Profile) -> None:
    there = micro.model_copy(
        update={
            "encoder": micro.encoder.model_copy(update={"path": "data/encoders/small_cpu/seed=1"})
        }
    )
    tried = trials.changed(there, {"layers": 3, "masking_probability": 0.4})
    assert (tried.encoder.layers, tried.encoder.path) == (3, "")
    assert tried.pretraining.masking_probability == 0.4
    assert tried.encoder.hidden_size == micro.encoder.hidden_size
    assert tried.targets == micro.targets


@pytest.mark.parametrize(
    ("keys", "said"),
    [({"depth": 2}, "no key 'depth'"), ({"layers": 0}, "layers: .*found 0"),
     ({"learning_rate": "fast"}, "learning_rate: .*'fast'"),
     ({"tokens": 5000}, "'tokens' has no effect"), ({"path": "x/y"}, "'path' has no effect"),
     ({"hidden_size": 17}, "trial: encoder.hidden_size: .*17"),
     ({"block_tokens": 1024}, "trial: pretraining.block_tokens: .*1024")],
)  # fmt: skip
def test_a_key_that_cannot_be_is_refused(micro: Profile, keys: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        trials.changed(micro, keys)


def test_a_trial_says_how_well_an_encoder_predicts_text(micro: Profile) -> None:
    row = trials.run(trials.changed(micro, {"block_tokens": 8}), minutes=0.01)
    texts = text_blocks.texts_of(micro)
    tokenizer = text_blocks.tokenizer_of(micro, texts)
    lines = [line for each in texts.values() for line in each]
    tokens = sum(map(len, tokenizer(lines, add_special_tokens=False)["input_ids"])) + len(lines)
    rate = tokens / sum(map(len, lines))
    assert row["loss_of_character"] / row["loss"] == pytest.approx(rate, rel=0.1)
    assert row["translations_found"] is None  # the profile names none
    assert 0 < row["loss"] < 8 and row["tokens"] > 0 and row["tokens_per_second"] > 0


def test_a_trial_is_judged_by_held_out_text(
    micro: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = []

    def validated(model: object, held_out: dict, tokenizer: object) -> dict:
        judged.append(held_out)
        return {code: (0.5, 2.0 + place, 1) for place, code in enumerate(held_out)}

    monkeypatch.setattr(pretraining, "validated", validated)
    row = trials.run(micro, minutes=0.005)
    prepared = text_blocks.prepare(micro, 1)
    (held_out,) = judged
    assert held_out.keys() == prepared.blocks.held_out.keys() == set(micro.languages)
    assert all(torch.equal(of, prepared.blocks.held_out[code]) for code, of in held_out.items())
    characters, tokens = prepared.facts["characters"], prepared.blocks.tokens
    assert row["loss"] == pytest.approx(2 + (len(micro.languages) - 1) / 2)
    expected = [
        (2.0 + place) * tokens[code] / characters[code]
        for place, code in enumerate(micro.languages)
    ]
    assert row["loss_of_character"] == pytest.approx(sum(expected) / len(expected), abs=1e-4)


def test_rows_of_the_table_are_added_one_by_one(
    micro: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIGURES_ROOT", str(tmp_path))
    monkeypatch.setattr(trials.profile, "load", lambda *_, **__: micro)
    for keys in ("{block_tokens: 8}", "{block_tokens: 8, layers: 2}"):
        trials.main(["micro", keys, "--minutes", "0.005"])
    table = pd.read_csv(paths.figures(micro.name) / "trials.csv")
    assert list(table.trial) == ["{block_tokens: 8}", "{block_tokens: 8, layers: 2}"]
    assert table.parameters[1] > table.parameters[0]
    with pytest.raises(InputError, match="expected a mapping"):
        trials.main(["micro", "layers=2"])
