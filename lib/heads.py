"""Put a task-specific head on the encoder: one class per kind, fresh for every task.

`forward` takes a padded batch and returns `loss` (a mean over the batch's items: words, pairs,
windows, masked tokens) and `predictions`, arrays that `lib.evaluation` reads.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from lib import encoder as encoders
from lib.batches import Feature, pad, pad_sequences
from lib.errors import InputError
from lib.tasks import Task

Output = dict[str, torch.Tensor]
IGNORED = -100


def number_of_items(batch: dict[str, torch.Tensor]) -> int:
    """Count what the loss of a batch is a mean over: words, pairs, ends of spans, masked tokens."""
    labels = batch["heads" if "heads" in batch else "labels"]
    return int((labels != IGNORED).sum())


def number_of_positions(batch: dict[str, torch.Tensor]) -> int:
    """Count the tokens that a batch has the device read, padding included."""
    return batch["input_ids"].numel()


class Head(nn.Module):
    """Hold an encoder and what a kind adds to it."""

    def __init__(self, encoder: Any, outputs: int, width: int = 0) -> None:
        super().__init__()
        self.encoder = encoder
        configuration = encoder.config
        self.dropout = nn.Dropout(getattr(configuration, "hidden_dropout_prob", 0.1))
        self.output = nn.Linear(width or configuration.hidden_size, outputs)
        nn.init.normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)

    def hidden(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states [n, length, width], with dropout."""
        states = encoders.read(self.encoder, input_ids, attention_mask)[0]
        return self.dropout(states.to(self.output.weight.dtype))

    @staticmethod
    def collate(features: list[Feature], pad_id: int) -> dict[str, torch.Tensor]:
        """Pad one sequence per feature."""
        return pad_sequences([feature["input_ids"][0] for feature in features], pad_id)


class Tagger(Head):
    """Classify each word by its first subword."""

    @staticmethod
    def collate(features: list[Feature], pad_id: int) -> dict[str, torch.Tensor]:
        """Add `starts` and `labels`, both [n, words]."""
        return Head.collate(features, pad_id) | {
            "starts": pad([feature["starts"] for feature in features], 0, torch.long),
            "labels": pad([feature["labels"] for feature in features], IGNORED, torch.long),
        }

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        starts: torch.Tensor,
        labels: torch.Tensor,
    ) -> Output:
        """Return predictions [n, words]: label numbers."""
        hidden = self.hidden(input_ids, attention_mask)
        words = hidden.gather(1, starts.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
        logits = self.output(words)
        loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return {"loss": loss, "predictions": logits.argmax(-1)}


class PairClassifier(Head):
    """Classify a pooled sentence pair that one encoder reads together (`cross`).

    `first` is the stock head of `XLMRobertaForSequenceClassification`: of the first token, a layer
    of the encoder's width and tanh. `mean` has no layer before its output.
    """

    stock = True  # whether `first` has the stock head's layer

    def __init__(self, encoder: Any, outputs: int, pooling: str) -> None:
        super().__init__(encoder, outputs)
        self.pooling, self.dense = pooling, None
        if self.stock and pooling == "first":
            self.dense = nn.Linear(encoder.config.hidden_size, encoder.config.hidden_size)
            nn.init.normal_(self.dense.weight, std=0.02)
            nn.init.zeros_(self.dense.bias)

    def pooled(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return one vector per sequence: [n, width]."""
        hidden = self.hidden(input_ids, attention_mask)
        vectors = encoders.pool(hidden, attention_mask, self.pooling)
        return vectors if self.dense is None else self.dropout(torch.tanh(self.dense(vectors)))

    @staticmethod
    def collate(features: list[Feature], pad_id: int) -> dict[str, torch.Tensor]:
        """Add `labels` [n]."""
        labels = torch.tensor([feature["labels"] for feature in features])
        return Head.collate(features, pad_id) | {"labels": labels}

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
    ) -> Output:
        """Return predictions [n]: label numbers."""
        logits = self.output(self.pooled(input_ids, attention_mask))
        return {
            "loss": functional.cross_entropy(logits, labels),
            "predictions": logits.argmax(-1),
        }


class PairRegressor(PairClassifier):
    """Score a sentence pair that one encoder reads together (`cross`), by squared error."""

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
    ) -> Output:
        """Return predictions [n], on the labels' scale of 0 to 1."""
        scores = self.output(self.pooled(input_ids, attention_mask)).squeeze(-1)
        return {"loss": functional.mse_loss(scores, labels), "predictions": scores}


class BiEncoder(PairClassifier):
    """Score a sentence pair by the cosine of two pooled vectors (`bi`), by squared error.

    Reimers & Gurevych 2019 (arXiv 1908.10084), section 3.
    """

    stock = False

    @staticmethod
    def collate(features: list[Feature], pad_id: int) -> dict[str, torch.Tensor]:
        """Stack first and second sentences: [2n, length]."""
        sequences = [feature["input_ids"][side] for side in (0, 1) for feature in features]
        labels = torch.tensor([feature["labels"] for feature in features])
        return pad_sequences(sequences, pad_id) | {"labels": labels}

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
    ) -> Output:
        """Return predictions [n]: cosines."""
        first, second = self.pooled(input_ids, attention_mask).chunk(2)
        scores = functional.cosine_similarity(first, second)
        return {"loss": functional.mse_loss(scores, labels), "predictions": scores}


class BiClassifier(BiEncoder):
    """Classify a sentence pair by two pooled vectors and their absolute difference (`bi`).

    Reimers & Gurevych 2019 (arXiv 1908.10084), section 3.
    """

    def __init__(self, encoder: Any, outputs: int, pooling: str) -> None:
        super().__init__(encoder, outputs, pooling)
        self.output = nn.Linear(3 * encoder.config.hidden_size, outputs)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
    ) -> Output:
        """Return predictions [n]: label numbers."""
        first, second = self.pooled(input_ids, attention_mask).chunk(2)
        logits = self.output(torch.cat([first, second, (first - second).abs()], dim=-1))
        return {
            "loss": functional.cross_entropy(logits, labels),
            "predictions": logits.argmax(-1),
        }


class ChoiceScorer(PairClassifier):
    """Score each choice by its pooled sequence; the scores of an example's choices compete."""

    @staticmethod
    def collate(features: list[Feature], pad_id: int) -> dict[str, torch.Tensor]:
        """Stack the choices of each example in turn: [n * choices, length]; `labels` [n]."""
        sequences = [ids for feature in features for ids in feature["input_ids"]]
        labels = torch.tensor([feature["labels"] for feature in features])
        return pad_sequences(sequences, pad_id) | {"labels": labels}

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
    ) -> Output:
        """Return predictions [n]: numbers of choices."""
        scores = self.output(self.pooled(input_ids, attention_mask)).view(len(labels), -1)
        return {
            "loss": functional.cross_entropy(scores, labels),
            "predictions": scores.argmax(-1),
        }


class SpanFinder(Head):
    """Score each context token as the start and the end of the answer."""

    @staticmethod
    def collate(features: list[Feature], pad_id: int) -> dict[str, torch.Tensor]:
        """Add `labels` [n, 2] and `context` [n, length], true where an answer may stand."""
        inside = [[begin >= 0 for begin in feature["begins"]] for feature in features]
        return Head.collate(features, pad_id) | {
            "context": pad(inside, 0, torch.bool),
            "labels": torch.tensor([feature["labels"] for feature in features]),
        }

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        context: torch.Tensor,
        labels: torch.Tensor,
    ) -> Output:
        """Return predictions [n, length, 2]: logits of start and end."""
        logits = self.output(self.hidden(input_ids, attention_mask))
        allowed = context.clone()
        allowed[:, 0] = True
        logits = logits.masked_fill(~allowed.unsqueeze(-1), -1e4)
        return {"loss": functional.cross_entropy(logits, labels), "predictions": logits}


class MaskedLanguageModel(nn.Module):
    """Predict masked tokens; logits are made at masked positions only."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, chosen: torch.Tensor, labels: torch.Tensor
    ) -> Output:
        """Return predictions [masked], token ids; in training the loss alone."""
        logits = encoders.masked_logits(self.model, input_ids, chosen).float()
        # A small batch may have nothing masked, and the mean over nothing is no number.
        loss = functional.cross_entropy(logits, labels) if len(labels) else logits.sum() * 0
        # A vocabulary is wide: to look for the largest takes a tenth of an update.
        return {"loss": loss} if self.training else {"loss": loss, "predictions": logits.argmax(-1)}


def make(
    task: Task, encoder: Any, pair: str = "cross", pooling: str = "mean", parser: str = "biaffine"
) -> Head:
    """Return a fresh head of the task's kind on an encoder.

    `pair`, `pooling` and `parser` are those of a condition or a target (`lib.profile`).
    """
    from lib import parsers

    builders: dict[str, Callable[[], Head]] = {
        "tagging": lambda: Tagger(encoder, len(task.labels)),
        "parsing": lambda: parsers.KINDS[parser](encoder),
        "classification": lambda: (BiClassifier if pair == "bi" else PairClassifier)(
            encoder, len(task.labels), pooling
        ),
        "regression": lambda: (BiEncoder if pair == "bi" else PairRegressor)(encoder, 1, pooling),
        "multiple_choice": lambda: ChoiceScorer(encoder, 1, pooling),
        "span": lambda: SpanFinder(encoder, 2),
    }
    return builders[task.kind]()


def save(head: Head, file: Path) -> None:
    """Write what a head adds to its encoder, which is saved apart."""
    own = {name: value for name, value in head.state_dict().items() if _own(name)}
    safetensors.torch.save_file(own, file)


def restore(head: Head, file: Path) -> None:
    """Read into a head what `save` wrote; raises InputError for a file of another kind of head."""
    found = safetensors.torch.load_file(file)
    wanted = {name: value.shape for name, value in head.state_dict().items() if _own(name)}
    if {name: value.shape for name, value in found.items()} != wanted:
        raise InputError(f"{file}: not the weights of a {type(head).__name__} of this width")
    head.load_state_dict(found, strict=False)


def _own(name: str) -> bool:
    return not name.startswith("encoder.")
