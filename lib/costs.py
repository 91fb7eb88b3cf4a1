"""Count what a training or an evaluation reads and takes, from sizes alone.

A training takes 6 N operations a subword token, an evaluation 2 N, where N is the parameters of the
layers (Kaplan et al. 2020, arXiv 2001.08361, section 2.1; their term for the context is left out).
MLM adds its output layer at masked tokens, mining every similarity. Padding is not counted,
nor that mining is in single precision, which cards do more slowly.
"""

from dataclasses import astuple, dataclass

from lib import inventory, sizes, tasks, transfer
from lib.profile import Budget, Profile
from lib.sizes import Shape, Size


@dataclass(frozen=True)
class Load:
    """Sum what trainings and evaluations read and take: `work` in floating-point operations.

    `updates`, `examples` and `tokens` are those of training; `evaluated` are tokens, too.
    """

    updates: float = 0.0
    examples: float = 0.0
    tokens: float = 0.0
    evaluated: float = 0.0
    work: float = 0.0

    def __add__(self, other: "Load") -> "Load":
        both = zip(astuple(self), astuple(other), strict=True)
        return Load(*(mine + theirs for mine, theirs in both))

    def times(self, runs: int) -> "Load":
        """Return the load of so many runs."""
        return Load(*(runs * value for value in astuple(self)))


def updates_of(size: Size, budget: Budget) -> int:
    """Return the updates of a training on a set of this size, as `lib.batches` counts them."""
    if budget.updates:
        return budget.updates
    whole = size.examples / budget.batch_examples if budget.batch_examples else (
        size.examples * size.tokens / budget.batch_tokens
    )  # fmt: skip
    return max(1, round(budget.epochs * whole))


def shares(examples: dict[str, int], cap: int, temperature: float) -> dict[str, float]:
    """Return each task's share of the updates, as `lib.mixture` draws them."""
    weights = {name: min(n, cap or n) ** (1 / temperature) for name, n in examples.items()}
    total = sum(weights.values()) or 1.0  # of tasks whose sizes no table holds
    return {name: weight / total for name, weight in weights.items()}


def _train(shape: Shape, size: Size, budget: Budget, updates: float) -> Load:
    if budget.batch_examples:
        tokens = updates * budget.batch_examples * size.tokens
    else:
        tokens = updates * budget.batch_tokens
    examples = tokens / size.tokens if size.tokens else 0.0
    return Load(updates, examples, tokens, work=6 * shape.layer_parameters * tokens)


def _evaluate(shape: Shape, size: Size) -> Load:
    tokens = size.examples * size.tokens
    return Load(evaluated=tokens, work=2 * shape.layer_parameters * tokens)


def _block_tokens(settings: Profile, batch_tokens: int) -> int:
    block = settings.pretraining.block_tokens
    return max(1, batch_tokens // block) * block


def _mlm(settings: Profile, shape: Shape, updates: float, batch_tokens: int) -> Load:
    tokens = updates * _block_tokens(settings, batch_tokens)
    masked = settings.pretraining.masking_probability * tokens
    work = 6 * (shape.layer_parameters * tokens + shape.output_parameters * masked)
    return Load(updates, tokens / settings.pretraining.block_tokens, tokens, work=work)


def of_pretraining(settings: Profile, shape: Shape) -> Load:
    """Return the load of training one encoder, nothing where it is taken as it is."""
    budget = settings.pretraining
    updates = max(1, budget.tokens // _block_tokens(settings, budget.batch_tokens))
    return _mlm(settings, shape, updates if budget.tokens else 0, budget.batch_tokens)


def of_condition(settings: Profile, name: str, shape: Shape) -> Load:
    """Return the load of one run of a condition; its validation is read before and after."""
    how, budget = settings.conditions[name], settings.budget_of(name)
    if how.task == "mlm":
        text = sizes.of_training(settings, how.text_of).limited(how.examples)
        block = settings.pretraining.block_tokens
        blocks = Size(int(text.examples * text.tokens) // block, block)
        return _mlm(settings, shape, updates_of(blocks, budget), budget.batch_tokens)
    found = {task: sizes.of_training(settings, task).limited(how.examples) for task in how.trained}
    every = budget.updates or round(
        sum(updates_of(size, budget) for size in found.values()) / (1 - how.joint_mlm)
    )
    mlm = how.joint_mlm * every
    load = _mlm(settings, shape, mlm, budget.batch_tokens)
    mixed = shares({task: s.examples for task, s in found.items()}, how.cap, how.temperature)
    for task, size in found.items():
        load += _train(shape, size, budget, mixed[task] * (every - mlm))
        development = sizes.of_development(settings, task).limited(budget.evaluation_examples)
        load += _evaluate(shape, development).times(2)  # before and after
    return load


def of_target(settings: Profile, name: str, shape: Shape) -> tuple[Load, Load]:
    """Return what one run of a target trains and evaluates; the runs of a target differ little."""
    task, budget = tasks.get(name), settings.targets[name]
    training, evaluation = Load(), Load()
    if task.kind != "retrieval":
        size = sizes.of_target_training(settings, name).limited(budget.train_examples)
        training = _train(shape, size, budget, updates_of(size, budget))
        if not transfer.develops_on_what_is_evaluated(task, budget.split):
            development = sizes.of_development(settings, name)
            evaluation = _evaluate(shape, development.limited(budget.evaluation_examples))
    languages = [settings.source_language, *settings.target_languages]
    for code in inventory.of_target(settings, name, languages):
        size = sizes.of_evaluation(settings, name, code).limited(budget.evaluation_examples)
        evaluation += _evaluate(shape, size)
        if name == "bucc":  # every similarity of two sides, from every layer
            pairs = (size.examples / 2) ** 2
            evaluation += Load(work=2 * pairs * shape.width * (shape.layers + 1))
    return training, evaluation
