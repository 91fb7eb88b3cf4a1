"""What the tests share: temporary stores only, no network, and small stand-ins for big things."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

# Both are read when `datasets` and `huggingface_hub` are imported.
CACHE = tempfile.TemporaryDirectory(prefix="datasets-")
os.environ["HF_DATASETS_CACHE"] = CACHE.name
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Tests hold to the last digits of a processor; what a GPU does is `make test-gpu`.
if "TEST_GPU" not in os.environ:
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

TINY = Path(__file__).parents[1] / "notebooks" / "profiles" / "tiny.yaml"
WORLD = {
    "languages": 2, "text_sentences": 60, "text_validation": 10,
    "parsing_train": 40, "parsing_evaluation": 16, "similarity_train": 40,
    "similarity_evaluation": 16, "tagging_train": 40, "tagging_evaluation": 16,
    "ner_train": 40, "ner_evaluation": 16, "nli_train": 42, "nli_evaluation": 18,
    "paraphrase_train": 20, "paraphrase_evaluation": 10, "qa_train": 40, "qa_evaluation": 16,
    "retrieval_pairs": 16,
}  # fmt: skip
# Sizes of what a world writes only where it is asked to: with them every row of the table has data.
FURTHER = {
    "sick_train": 32, "qqp_train": 24, "paws_train": 24, "anli_train": 18, "snli_train": 24,
    "squad_v2_train": 24, "hellaswag_train": 24, "cosmosqa_train": 24, "commonsenseqa_train": 24,
    "ccg_train": 40, "intermediate_evaluation": 12, "mlqa_evaluation": 12, "tydiqa_train": 24,
    "tydiqa_evaluation": 12, "bucc_pairs": 6, "bucc_distractors": 10,
    "xnli_translated": 1,
}  # fmt: skip
# Files that take minutes: they begin first, so that no process is left alone with one at the end.
LONG = ("every_row", "xlm_r", "slurm", "notebooks", "faults", "distributed", "lease", "execution",
        "device")  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out SLURM and the rare faults; CI has the one, and a share of the others every day."""
    places = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))
    if "FAULTS" in os.environ:
        return
    left_out = [item for item in items if item.get_closest_marker("faults")]
    if "FAULT_SHARD" in os.environ:
        share = left_out[int(os.environ["FAULT_SHARD"]) % 4 :: 4]
        left_out = [item for item in left_out if item not in share]
    else:
        left_out += [item for item in items if item.get_closest_marker("slurm")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", autouse=True)
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep results, figures and worlds out of the working tree."""
    folder = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RESULTS_ROOT", "FIGURES_ROOT", "WORLDS_ROOT"):
            patch.setenv(name, str(folder / name.lower()))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def single_precision() -> Iterator[None]:
    """Compute in single precision, in which equal is equal to six digits, on any processor.

    Notebooks run in kernels of their own, in the device's precision.
    """
    import torch

    from lib import precision

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "of_device", lambda *wanted: torch.float32)
        yield


@pytest.fixture
def half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in bfloat16, which any processor can, if slowly."""
    import torch

    from lib import precision

    monkeypatch.setattr(precision, "of_device", lambda *wanted: torch.bfloat16)


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return what notes how often a fault was tried and what was lost, for `make test-faults`."""

    def note(fault: str, tried: int = 1, lost: str = "nothing") -> None:
        from lib import results

        if log := os.environ.get("FAULTS_LOG"):
            place = f"{request.path.name}::{request.function.__name__}"
            made = f"{time.strftime('%Y-%m-%d')},{results.commit()}"
            with Path(log).open("a", encoding="utf-8") as lines:
                lines.write(f'{made},"{fault}",{tried},"{lost}",{place}\n')

    return note


@pytest.fixture
def mirror() -> Path:
    """Return the mirror of real data that `DATA_ROOT` names; skip where there is none."""
    if not os.environ.get("DATA_ROOT"):
        pytest.skip("DATA_ROOT is not set: no mirror of the hub to read real data from")
    return Path(os.environ["DATA_ROOT"])


@pytest.fixture
def write(tmp_path: Path, writer: Callable[[Path], Any]) -> Callable[..., None]:
    """Return a writer of one split in the hub's layout into the test's own folder."""
    return writer(tmp_path)


@pytest.fixture(scope="session")
def writer() -> Callable[[Path], Any]:
    """Return what makes a writer of single splits, with the repositories' cards, into a folder."""
    return _writer


def _writer(root: Path) -> Callable[..., None]:
    from datasets import Dataset, Features

    configs: dict[str, dict[str, list[str]]] = {}

    def one(repository: str, config: str, split: str, rows: dict[str, Any], **kinds: Any) -> None:
        plain = Dataset.from_dict(rows).features
        data = Dataset.from_dict(rows, features=Features({**plain, **kinds}))
        folder = root / repository
        (folder / config).mkdir(parents=True, exist_ok=True)
        data.to_parquet(folder / config / f"{split}-00000-of-00001.parquet")
        splits = configs.setdefault(repository, {}).setdefault(config, [])
        if split not in splits:
            splits.append(split)
        lines = ["---", "configs:"]
        for name, splits in configs[repository].items():
            lines += [f"- config_name: {name}", "  data_files:"]
            for each in splits:
                lines += [f"  - split: {each}", f"    path: {name}/{each}-*"]
        (folder / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")

    return one


@pytest.fixture(scope="session")
def micro_content() -> Callable[[], dict[str, Any]]:
    """Return a maker of the `tiny` profile's content, cut to seconds for the whole grid."""

    def content() -> dict[str, Any]:
        tiny = yaml.safe_load(TINY.read_text(encoding="utf-8"))
        small = {"updates": 3, "batch_tokens": 128, "max_sequence_length": 64}
        return tiny | {
            "languages": ["en", "qaa", "qab"],
            "world": dict(WORLD),
            "encoder": tiny["encoder"] | {"layers": 1, "hidden_size": 16, "vocabulary_size": 300},
            "pretraining": {"tokens": 3000, "block_tokens": 32, "batch_tokens": 256},
            "intermediate": dict(small),
            "conditions": tiny["conditions"]
            | {
                "mlm_on_stsb_text": {"task": "mlm", "text_of": "stsb"},
                "multitask": {"task": "multitask", "tasks": ["ud_parsing", "stsb"]},
                "stsb-joint": {"task": "stsb", "joint_mlm": 0.5},
            },
            "targets": {name: dict(small) for name in ("udpos", "xnli", "xquad")}
            | {"tatoeba": {"batch_tokens": 128}},
            "clean_targets": ["udpos"],
            "seeds": {1: 1},
        }

    return content


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory, micro_content: Callable[[], Any]) -> Any:
    """Return the micro profile, loaded from a file of its own."""
    from lib import profile

    file = tmp_path_factory.mktemp("profiles") / "micro.yaml"
    file.write_text(yaml.safe_dump(micro_content(), sort_keys=False), encoding="utf-8")
    return profile.load(str(file))


@pytest.fixture(scope="session")
def every_row(
    tmp_path_factory: pytest.TempPathFactory, micro_content: Callable[[], Any]
) -> Callable[..., Any]:
    """Return a maker of a profile that trains and evaluates every row for two updates."""
    from lib import profile, tasks

    def made(name: str, **changes: Any) -> Any:
        content = micro_content()
        small = {"updates": 2, "batch_tokens": 192, "max_sequence_length": 64}
        trained = [row for row in tasks.targets() if tasks.get(row).kind != "retrieval"]
        content |= {
            "world": WORLD | FURTHER,
            "pretraining": {"tokens": 1000, "block_tokens": 32, "batch_tokens": 256},
            "intermediate": small,
            "targets": {row: small if row in trained else {} for row in tasks.targets()},
            "clean_targets": trained,
        }
        file = tmp_path_factory.mktemp("profiles") / f"{name}.yaml"
        file.write_text(yaml.safe_dump(content | changes, sort_keys=False), encoding="utf-8")
        return profile.load(str(file))

    return made


@pytest.fixture(scope="session")
def letters() -> Any:
    """Return a tokenizer that makes every letter a token: what it gives can be said by hand.

    `<s> <pad> </s> <unk>` are 0 to 3, `a` to `z` 4 to 29, `<mask>` 30. Zero-width spaces vanish.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens = ["<s>", "<pad>", "</s>", "<unk>", *map(chr, range(97, 123)), "<mask>"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace("\u200b", "")
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", unk_token="<unk>", pad_token="<pad>", mask_token="<mask>",
    )  # fmt: skip


@pytest.fixture
def small_encoder() -> Callable[..., Any]:
    """Return a maker of small encoders without dropout, with or without the MLM head."""
    from transformers import set_seed

    from lib import encoder
    from lib.profile import Encoder

    def make(vocabulary: int = 31, seed: int = 1, mlm: bool = False, layers: int = 2) -> Any:
        set_seed(seed)
        sizes = Encoder(
            layers=layers, hidden_size=16, attention_heads=2, feed_forward_size=32, dropout=0.0
        )
        model = encoder.new(sizes, vocabulary)
        return model if mlm else model.base_model

    return make
