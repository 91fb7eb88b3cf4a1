"""Write tables as the hub lays out a dataset repository: parquet files and a README."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

UPOS_OF_XTREME = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN",
    "PUNCT", "SCONJ", "SYM", "VERB", "X",
)  # fmt: skip
UPOS_OF_TREEBANKS = (
    "NOUN", "PUNCT", "ADP", "NUM", "SYM", "SCONJ", "ADJ", "PART", "DET", "CCONJ", "PROPN", "PRON",
    "X", "_", "ADV", "INTJ", "VERB", "AUX",
)  # fmt: skip
ENTITY_TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
NLI_LABELS = ("entailment", "neutral", "contradiction")

# A column is a dtype, a list ("[string]", "[[int32]]"), class names, or a list of class names.
Column = str | tuple[str, ...] | list[tuple[str, ...]] | dict[str, str]
COLUMNS: Mapping[str, Mapping[str, Column]] = {
    "text": {"text": "string", "source": "string"},
    "treebank": {
        "idx": "string", "text": "string", "tokens": "[string]", "lemmas": "[string]",
        "upos": [UPOS_OF_TREEBANKS], "xpos": "[string]", "feats": "[string]", "head": "[string]",
        "deprel": "[string]", "deps": "[string]", "misc": "[string]",
    },
    "stsb": {"sentence1": "string", "sentence2": "string", "label": "float32", "idx": "int32"},
    "udpos": {"tokens": "[string]", "pos_tags": [UPOS_OF_XTREME]},
    "panx": {"tokens": "[string]", "ner_tags": [ENTITY_TAGS], "langs": "[string]"},
    "xnli": {
        "language": "string", "sentence1": "string", "sentence2": "string", "gold_label": "string",
    },
    "multi_nli": {
        "promptID": "int32", "pairID": "string", "premise": "string", "hypothesis": "string",
        "genre": "string", "label": NLI_LABELS,
    },
    "pawsx": {"sentence1": "string", "sentence2": "string", "label": "string"},
    "squad": {
        "id": "string", "title": "string", "context": "string", "question": "string",
        "answers": {"text": "[string]", "answer_start": "[int32]"},
    },
    "tatoeba": {
        "source_sentence": "string", "target_sentence": "string", "source_lang": "string",
        "target_lang": "string",
    },
    "sick": {
        "id": "string", "sentence_A": "string", "sentence_B": "string",
        "relatedness_score": "float32", "entailment": "string",
    },
    "qqp": {
        "question1": "string", "question2": "string", "label": ("not_duplicate", "duplicate"),
        "idx": "int32",
    },
    "paws": {"id": "int32", "sentence1": "string", "sentence2": "string", "label": ("0", "1")},
    "anli": {
        "uid": "string", "premise": "string", "hypothesis": "string", "label": NLI_LABELS,
        "reason": "string",
    },
    "snli": {"premise": "string", "hypothesis": "string", "label": NLI_LABELS},
    "hellaswag": {
        "ind": "int32", "activity_label": "string", "ctx_a": "string", "ctx_b": "string",
        "ctx": "string", "endings": "[string]", "source_id": "string", "split": "string",
        "split_type": "string", "label": "string",
    },
    "cosmos_qa": {
        "id": "string", "context": "string", "question": "string", "answer0": "string",
        "answer1": "string", "answer2": "string", "answer3": "string", "label": "int32",
    },
    "commonsense_qa": {
        "id": "string", "question": "string", "question_concept": "string",
        "choices": {"label": "[string]", "text": "[string]"}, "answerKey": "string",
    },
    "bucc": {"sentence1": "[string]", "sentence2": "[string]", "gold": "[[int32]]"},
}  # fmt: skip


def _type(column: Column) -> pa.DataType:
    if isinstance(column, dict):
        return pa.struct([(name, _type(inner)) for name, inner in column.items()])
    if isinstance(column, list):
        return pa.list_(pa.int64())
    if isinstance(column, tuple):
        return pa.int64()
    if column.startswith("["):
        return pa.list_(_type(column[1:-1]))
    return {"string": pa.string(), "int32": pa.int32(), "float32": pa.float32()}[column]


def _feature(column: Column) -> dict[str, object]:
    if isinstance(column, dict):
        return {name: _feature(inner) for name, inner in column.items()}
    if isinstance(column, list):
        return {"feature": _feature(column[0]), "_type": "List"}
    if isinstance(column, tuple):
        return {"names": list(column), "_type": "ClassLabel"}
    if column.startswith("["):
        return {"feature": _feature(column[1:-1]), "_type": "List"}
    return {"dtype": column, "_type": "Value"}


class Repository:
    """One dataset repository, `<folder>/<org>/<name>` or `<folder>/<name>`, being written."""

    def __init__(self, folder: Path, name: str):
        self.root = folder / name
        self.splits: dict[str, list[str]] = {}

    def write(
        self, config: str, split: str, kind: str, rows: Sequence[Mapping[str, object]]
    ) -> None:
        """Write one split of one config; `kind` names the columns (see `COLUMNS`)."""
        columns = COLUMNS[kind]
        features = {name: _feature(column) for name, column in columns.items()}
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        schema = pa.schema([(n, _type(column)) for n, column in columns.items()], metadata)
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
        path = self.root / config / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        self.splits.setdefault(config, []).append(split)

    def close(self, about: str) -> None:
        """Write the README that tells `load_dataset` which configs and splits there are."""
        lines = ["---", "configs:"]
        for config, splits in self.splits.items():
            lines += [f"- config_name: {config}", "  data_files:"]
            for split in splits:
                lines += [f"  - split: {split}", f"    path: {config}/{split}-*"]
        lines += ["---", "", about, ""]
        (self.root / "README.md").write_text("\n".join(lines), encoding="utf-8")
