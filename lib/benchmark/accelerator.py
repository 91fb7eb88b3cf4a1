"""Say how much of a GPU's matrix rate trainings of XLM-R's shapes use, and how much memory.

Weights and tokens are random, lengths are real (`lib.benchmark.synthetic`). Utilisation is the
operations of the model over the seconds, as a share of what a large matrix product reaches in the
same run. Padding, masks and all else that a recipe computes beside the model count as nothing.
"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
from transformers import default_data_collator
from transformers.trainer_pt_utils import get_length_grouped_indices

from lib import batches, encoder, heads, packing, precision, tasks
from lib.batches import Feature
from lib.benchmark import material, measuring, stock, synthetic
from lib.profile import Budget
from lib.sizes import XLM_R, Shape

STARTED = time.perf_counter()
LATEST = 390.0  # seconds after which no case begins: a device may be lent for ten minutes at a time
PADDED, EXAMPLES, FLAGS = "ours, padded", "examples, padded", "best flags, bfloat16"
COMPILED = "ours, compiled"
TINY = Shape(2, 32, 64, 500)
FACTS = ["operations", "matrix_rate", "utilisation", "peak_memory_gib", "packed"]


@dataclass(frozen=True)
class Case:
    """Name a training: a target's name or `mlm`, what is padded to, and what an update reads.

    With `tokens` an update is filled up to so many; else it is `batch` examples or blocks.
    """

    task: str
    length: int
    batch: int = 32
    tokens: int = 0

    @property
    def name(self) -> str:
        """Say what an update reads."""
        unit = "blocks" if self.task == "mlm" else "examples"
        return (
            f"{self.task}, {f'{self.tokens:,} tokens' if self.tokens else f'{self.batch} {unit}'}"
        )


# Batches of 32 and of 16 are those of the profiles of XLM-R; 128 and 384 are the examples' lengths.
CASES = (
    Case("mlm", 512),
    *(Case(task, length, tokens=16_384)
      for task, length in (("udpos", 128), ("xnli", 128), ("xquad", 384))),
    Case("udpos", 128),
    Case("xnli", 128),
    Case("xquad", 384, batch=16),
)  # fmt: skip


def measure(quick: bool = False) -> pd.DataFrame:
    """Train every case by every recipe; return `measuring.COLUMNS` and `FACTS`, a row per repeat.

    Unit: real tokens. Without a GPU every case runs in the smallest setting, to its end, and
    nothing is returned: a CPU's numbers are no GPU's.
    """
    on_gpu = encoder.device().type == "cuda"
    smallest = quick or not on_gpu
    rate = matrix_rate(512 if smallest else 8_192)
    print(f"matrix product: {rate / 1e12:.2f} TFLOP/s", flush=True)
    shapes = {"tiny": TINY} if smallest else {
        name: XLM_R[name] for name in ("xlm-roberta-large", "xlm-roberta-base")
    }  # fmt: skip
    tables = []
    for name, shape in shapes.items():
        for case in CASES:
            if on_gpu and time.perf_counter() - STARTED > LATEST:
                print(f"{name}, {case.name}: not begun, for lack of time", flush=True)
            else:
                tables.append(_compare(name, shape, case, rate, smallest))
    return pd.concat(tables, ignore_index=True) if on_gpu and tables else pd.DataFrame()


def summary(measured: pd.DataFrame) -> pd.DataFrame:
    """Return medians per case and recipe, and how many times its speed ours has."""
    speed = measured.assign(tokens_per_second=measured["amount"] / measured["seconds"])
    keys = ["case", "recipe"]
    columns = ["tokens_per_second", "utilisation", "peak_memory_gib", "packed"]
    table = speed.groupby(keys, sort=False)[columns].median().astype({"packed": bool}).reset_index()
    compared = measuring.ratios(measured)[[*keys, "ratio", "lowest", "highest"]]
    return table.merge(compared, how="left", on=keys)


def operations(shape: Shape, lengths: Sequence[int], masked: int = 0) -> float:
    """Return the floating-point operations that a training needs for sequences of these lengths.

    6 per parameter of the layers and token, 12 per layer, width and pair of tokens that attend to
    each other (Chowdhery et al. 2022, arXiv 2204.02311, appendix B), and 6 per weight of the output
    layer and masked token. Embeddings are looked up; the heads of targets are too small to count.
    """
    attention = 12 * shape.layers * shape.width * sum(length * length for length in lengths)
    layers = 6 * shape.layer_parameters * sum(lengths)
    return float(layers + attention + 6 * shape.output_parameters * masked)


def matrix_rate(size: int, products: int = 10) -> float:
    """Return the operations per second of square matrix products on the device, in its precision.

    The median of five rounds.
    """
    device = encoder.device()
    first, second = torch.randn(2, size, size, device=device, dtype=precision.of_device(device))
    rates = []
    for _ in range(6):
        started = _now()
        for _ in range(products):
            torch.mm(first, second)
        rates.append(2 * size**3 * products / (_now() - started))
    return float(pd.Series(rates[1:]).median())


def _now() -> float:
    """Return the time at which all that was asked of the device is done, in seconds."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Stopwatch:
    """Time a training from one of its updates on, and note what the model is given from there.

    It looks at each call of the model, so that it sees any recipe alike.
    """

    def __init__(self, model: torch.nn.Module, first: int) -> None:
        self.first, self.calls, self.started = first, 0, 0.0
        self.lengths: list[torch.Tensor] = []
        self.masked: list[torch.Tensor] = []
        model.register_forward_pre_hook(self._look, with_kwargs=True)

    def _look(self, model: torch.nn.Module, arguments: Any, batch: dict[str, Any]) -> None:
        if self.calls == self.first:
            self.started = _now()
        self.calls += 1
        if self.calls <= self.first:
            return
        ids, mask = batch["input_ids"], batch.get("attention_mask")
        # Read at the end: to read a number from a GPU is to wait for it.
        self.lengths.append(torch.full((len(ids),), ids.shape[1]) if mask is None else mask.sum(1))
        if mask is None:
            self.masked.append((batch["labels"] != heads.IGNORED).sum())

    def stop(self) -> tuple[float, list[int], int]:
        """Return the seconds, the lengths of the sequences, and the number of masked tokens."""
        seconds = _now() - self.started
        lengths = [length for batch in self.lengths for length in batch.tolist()]
        return seconds, lengths, sum(int(number) for number in self.masked)


def _compare(name: str, shape: Shape, case: Case, rate: float, smallest: bool) -> pd.DataFrame:
    """Run the recipes of a case side by side; one that fails is left out, with a line."""
    updates, first = (3, 1) if smallest else (32, 6)
    if smallest:
        case = Case(case.task, min(case.length, 64), 2, tokens=128 if case.tokens else 0)
    every = _mlm(shape, case, updates) if case.task == "mlm" else _target(shape, case, updates)
    facts: dict[str, list[dict[str, float]]] = {recipe: [] for recipe in every}

    def timed(recipe: str) -> tuple[float, float]:
        if facts[recipe] and not facts[recipe][0]:
            return float("nan"), float("nan")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        try:
            amount, seconds, found = _run(every[recipe], shape, first)
        except Exception as error:  # what the others have found is not to be lost with it
            full = isinstance(error, torch.cuda.OutOfMemoryError)
            why = f"failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
            why = "does not fit into memory" if full else why
            print(f"{name}, {case.name}: {recipe} {why}", flush=True)
            amount, seconds, found = float("nan"), float("nan"), {}
        facts[recipe].append(found)
        return amount, seconds

    table = measuring.side_by_side(
        "accelerator", f"{name}, {case.name}",
        {recipe: partial(timed, recipe) for recipe in every}, "tokens",
        repeats=1 if smallest else 2,
        # Each training has updates of its own that are not counted.
        warm_up=dict.fromkeys(every, lambda: (0.0, 1.0)),
    )  # fmt: skip
    table = table.dropna(subset="seconds").reset_index(drop=True)
    places = zip(table["recipe"], table["repeat"], strict=True)
    found = [facts[recipe][repeat - 1] for recipe, repeat in places]
    table = table.join(pd.DataFrame(found, index=table.index)).assign(matrix_rate=rate)
    table["utilisation"] = table["operations"] / table["seconds"] / rate
    return table[[*measuring.COLUMNS, *FACTS]]


# A recipe makes the model to train, and what trains it.
Prepared = tuple[torch.nn.Module, Callable[[], object]]


def _run(
    prepare: Callable[[], Prepared], shape: Shape, first: int
) -> tuple[float, float, dict[str, float]]:
    """Train once; return real tokens, seconds, and what was found beside."""
    model, train = prepare()
    watch = Stopwatch(model, first)
    train()
    seconds, lengths, masked = watch.stop()
    on_gpu = torch.cuda.is_available()
    read = next(part for part in model.modules() if hasattr(part, "embeddings"))
    return float(sum(lengths)), seconds, {
        "operations": operations(shape, lengths, masked),
        "peak_memory_gib": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else 0.0,
        "packed": packing.packs(read),
    }  # fmt: skip


def _mlm(shape: Shape, case: Case, updates: int) -> dict[str, Callable[[], Prepared]]:
    """Return the recipes of MLM on blocks without padding: ours, and run_mlm's with all logits.

    All read the same masks.
    """
    number = case.batch * updates
    plan = [list(range(i, i + case.batch)) for i in range(0, number, case.batch)]
    blocks = partial(synthetic.masked_blocks, number, case.length, shape.vocabulary)
    data = blocks(plan)

    def ours(compiled: bool = False) -> Prepared:
        model = heads.MaskedLanguageModel(synthetic.model(shape, "auto")).to(encoder.device())
        if compiled:
            model.model.base_model.compile()
        return model, partial(material.train, model, data, Budget(), "accelerator")

    def stock_recipe(half: bool) -> Prepared:
        model = synthetic.model(shape)
        return model, partial(
            stock.train, model, single, default_data_collator, case.batch, half=half
        )

    single = []
    for block in (blocks([[i] for i in range(number)])[i] for i in range(number)):
        labels = torch.full_like(block["input_ids"], heads.IGNORED)
        labels = labels.masked_scatter(block["chosen"], block["labels"])
        single.append({"input_ids": block["input_ids"][0], "labels": labels[0]})
    recipes: dict[str, Callable[[], Prepared]] = {
        measuring.OURS: ours,
        FLAGS: partial(stock_recipe, half=True),
        EXAMPLES: partial(stock_recipe, half=False),
    }
    # On a processor `lib.benchmark.pretraining` says what compiling is worth.
    if torch.cuda.is_available():
        recipes[COMPILED] = partial(ours, True)
    return recipes


def _target(shape: Shape, case: Case, updates: int) -> dict[str, Callable[[], Prepared]]:
    """Return the recipes of fine-tuning; where an update is so many tokens, only ours."""
    mean = sum(synthetic.lengths(case.task, 1_000)) / 1_000
    number = round((updates + 1) * case.tokens / mean) if case.tokens else updates * case.batch
    of_lengths = synthetic.lengths(case.task, number, longest=case.length)
    made: list[Feature] = synthetic.features_of(case.task, of_lengths, shape.vocabulary)
    size = {"batch_tokens": case.tokens} if case.tokens else {"batch_examples": case.batch}
    budget = Budget(updates=updates, **size)

    def head_on(attention: synthetic.Attention) -> heads.Head:
        model = synthetic.model(shape, attention).base_model
        return heads.make(tasks.get(case.task), model).to(encoder.device())

    def ours(attention: synthetic.Attention) -> Prepared:
        head = head_on(attention)
        lengths = [batches.number_of_tokens(feature) for feature in made]
        plan = batches.plan_training(lengths, budget, seed=1)
        data = batches.Batches(made, plan, partial(head.collate, pad_id=1))
        return head, partial(material.train, head, data, budget, "accelerator")

    def stock_recipe(half: bool) -> Prepared:
        head = head_on("padded")
        collate: batches.Collate = partial(head.collate, pad_id=1)
        if not half:
            collate = partial(stock.to_length, collate=collate, length=case.length, pad_id=1)
        # `Trainer` reads the longest first: any few of its updates stand for all in another order.
        order = get_length_grouped_indices(of_lengths, case.batch) if half else [*range(number)]
        starts = case.batch * torch.randperm(updates)
        shuffled = [i for start in starts.tolist() for i in order[start : start + case.batch]]
        examples = stock.flat([made[i] for i in shuffled])
        collate = partial(stock.collate_flat, collate=collate)
        return stock.as_users_read(head), partial(
            stock.train, head, examples, collate, case.batch, half=half, in_order=True
        )

    recipes: dict[str, Callable[[], Prepared]] = {
        measuring.OURS: partial(ours, "auto"),
        PADDED: partial(ours, "padded"),
    }
    if case.tokens:
        return recipes
    return recipes | {
        FLAGS: partial(stock_recipe, half=True),
        EXAMPLES: partial(stock_recipe, half=False),
    }
