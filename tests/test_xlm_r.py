"""The XTREME profile runs on an encoder of XLM-R's own format and size, every cell of it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaTokenizerFast

from lib import corpora, encoder, intermediate, tasks, transfer
from lib.profile import Profile
from lib.results import Run

# config.json of FacebookAI/xlm-roberta-base at e73636d4f797.
XLM_R = XLMRobertaConfig(
    vocab_size=250_002, hidden_size=768, num_hidden_layers=12, num_attention_heads=12,
    intermediate_size=3_072, hidden_act="gelu", hidden_dropout_prob=0.1,
    attention_probs_dropout_prob=0.1, max_position_embeddings=514, type_vocab_size=1,
    initializer_range=0.02, layer_norm_eps=1e-5, bos_token_id=0, pad_token_id=1, eos_token_id=2,
)  # fmt: skip
SMALL = {"updates": 2, "batch_tokens": 96, "max_sequence_length": 48, "evaluation_examples": 4}
CONDITIONS: dict[str, dict[str, Any]] = {
    "none": {}, "random": {"random_encoder": True},
    **{name: {"task": name} for name in tasks.intermediate() if name != "mlm"},
    "mlm_on_stsb_text": {"task": "mlm", "text_of": "stsb"},
    "stsb-joint_mlm": {"task": "stsb", "joint_mlm": 0.5},
}  # fmt: skip


def tokenizer_of(texts: list[str]) -> Any:
    """Return a tokenizer of XLM-R's class and ids: pieces of the texts, fillers, `<mask>` last."""
    trained = encoder.train_tokenizer(texts, 400).backend_tokenizer
    import json

    pieces = [tuple(pair) for pair in json.loads(trained.to_str())["model"]["vocab"]]
    fillers = [(f"▁filler{i}", -99.0) for i in range(XLM_R.vocab_size - len(pieces) - 1)]
    return XLMRobertaTokenizerFast(vocab=[*pieces, *fillers, ("<mask>", 0.0)])


@pytest.fixture(scope="module")
def study(
    every_row: Callable[..., Profile], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Profile]:
    where = tmp_path_factory.mktemp("xlm_r")
    content = {"conditions": CONDITIONS, "intermediate": SMALL, "pretraining": {"block_tokens": 32}}
    content["targets"] = {
        name: SMALL if tasks.get(name).kind != "retrieval" else {} for name in tasks.targets()
    }
    settings = every_row("xlm_r", encoder={"path": str(where / "encoder")}, **content)
    root = corpora.prepare(settings)
    assert root is not None
    texts = [e["text"] for c in settings.languages for e in corpora.load(settings, tasks.TEXT, c)]
    torch.manual_seed(1)
    encoder.save(XLMRobertaForMaskedLM(XLM_R), tokenizer_of(texts), where / "encoder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESULTS_ROOT", str(where / "results"))
        yield settings
    shutil.rmtree(where)  # gigabytes


@pytest.mark.parametrize("condition", [name for name, how in CONDITIONS.items() if "task" in how])
def test_every_row_trains(study: Profile, condition: str) -> None:
    run = intermediate.run_one(study, condition, 1)
    print(condition, run.facts["seconds"], run.facts["process_peak_memory_mib"])
    shutil.rmtree(run.cell.folder / "encoder")


@pytest.mark.parametrize("target", tasks.targets())
def test_every_target(study: Profile, target: str) -> None:
    (run,) = transfer.run(study, "none", target, 1)
    print(target, run.facts["seconds"], run.facts["process_peak_memory_mib"])
