"""Guard accuracy: what makes training fast must not change what it reaches.

Packed against padded rows, and padded ones with and without attention dropout and in either
precision, by the zero-shot score of three targets of the `world` profile: fine-tuned from its own
encoder as `make figures` does, in its own budgets, with XLM-R's dropout of 0.1.
"""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pandas as pd
from scipy import stats

from lib import pretraining, profile, transfer
from lib.profile import Condition, Encoder, Pretraining, Profile

TARGETS = ("udpos", "panx", "xquad")
DROPOUT = 0.1
PADDED = "padded"


@dataclass(frozen=True)
class Recipe:
    """Say how rows are read, how much attention training drops, and in which precision."""

    attention: str = "padded"
    dropout: float = DROPOUT
    precision: str = "auto"


RECIPES = {
    PADDED: Recipe(),
    "packed": Recipe(attention="packed"),
    "padded, no attention dropout": Recipe(dropout=0.0),
    "padded, float32": Recipe(precision="float32"),
}


def measure(quick: bool = False, name: str = "world") -> pd.DataFrame:
    """Return the score of each target, recipe and seed: the mean over the languages not trained on.

    Columns: target, recipe, seed, value (0 to 1), languages. Trains the profile's first encoder
    where it is missing. All recipes of a seed start from the same head and see the same batches.
    """
    settings = profile.load(name)
    encoder_seed = next(iter(settings.seeds.values()))
    encoder, _ = pretraining.location(settings, encoder_seed)
    seeds = range(1, 3 if quick else 9)
    rows = []
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, RESULTS_ROOT=folder):
        for recipe, how in RECIPES.items():
            place = _with_dropout(Path(encoder), Path(folder) / recipe, how.dropout)
            study = _study(settings, place, how, list(seeds))
            for run in transfer.run(study, "none", "all", 0):
                of_run = run.scores[run.scores["reported"]]
                others = of_run[of_run["language"] != settings.source_language]["value"]
                target, seed = run.cell.target, run.cell.seed
                rows.append([target, recipe, seed, others.mean(), len(others)])
                print(f"{target:8} {recipe:30} seed {seed}  {others.mean():.3f}", flush=True)
    return pd.DataFrame(rows, columns=["target", "recipe", "seed", "value", "languages"])


def summary(measured: pd.DataFrame) -> pd.DataFrame:
    """Return mean and deviation over seeds in points, and the difference from padded rows.

    `lowest` to `highest` is the 95 % interval of the mean difference of a seed with itself
    (Student's t, n - 1 degrees of freedom); it is of fine-tuning seeds, given the encoder.
    """
    wide = measured.pivot(index=["target", "seed"], columns="recipe", values="value") * 100
    rows = []
    for target, recipe in measured[["target", "recipe"]].drop_duplicates().itertuples(index=False):
        values = wide.loc[target, recipe]
        apart = values - wide.loc[target, PADDED]
        half = stats.t.ppf(0.975, len(apart) - 1) * apart.std() / len(apart) ** 0.5
        rows.append(
            {
                "target": target,
                "recipe": recipe,
                "mean": values.mean(),
                "deviation": values.std(),
                "difference": apart.mean(),
                "lowest": apart.mean() - half,
                "highest": apart.mean() + half,
                "n": len(values),
            }
        )
    return pd.DataFrame(rows)


def _with_dropout(original: Path, folder: Path, dropout: float) -> Path:
    """Copy an encoder; let it drop hidden states as XLM-R, and so much attention."""
    shutil.copytree(original, folder)
    file = folder / "config.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content |= {"hidden_dropout_prob": DROPOUT, "attention_probs_dropout_prob": dropout}
    file.write_text(json.dumps(content), encoding="utf-8")
    return folder


def _study(settings: Profile, place: Path, how: Recipe, seeds: list[int]) -> Profile:
    """Return the profile that fine-tunes this encoder on the guarded targets, and nothing else."""
    return settings.model_copy(
        update={
            "name": f"accuracy-{place.name}",
            "encoder": Encoder.model_validate(
                {"path": str(place), "attention": how.attention, "precision": how.precision}
            ),
            "pretraining": Pretraining(),
            "conditions": {"none": Condition()},
            "targets": {name: settings.targets[name] for name in TARGETS},
            "clean_targets": list(TARGETS),
            "seeds": dict.fromkeys(seeds, 1),
        }
    )
