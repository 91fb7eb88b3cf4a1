"""Say which rows of a table are one run, and which runs are copies of another."""

import pandas as pd

UNTRAINED = ("none", "random")


def replicates(table: pd.DataFrame) -> pd.Series:
    """Label the replicate that each row belongs to.

    With three encoder seeds or more, the replicate is the encoder: fine-tuning seeds of one encoder
    are averaged, for they are not independent (Bouthillier et al. 2021, Accounting for Variance in
    Machine Learning Benchmarks). With fewer, each pair of encoder and seed is a replicate and
    conclusions hold given the encoders.
    """
    if table["encoder_seed"].nunique() >= 3:
        return table["encoder_seed"].astype(str)
    return table["encoder_seed"].astype(str) + "/" + table["seed"].astype(str)


def scope(table: pd.DataFrame) -> str:
    """Say in a few words which replicates an interval over them covers."""
    encoders, runs = table["encoder_seed"].nunique(), replicates(table).nunique()
    if encoders >= 3:
        return f"{encoders} encoders"
    given = "one encoder" if encoders == 1 else f"these {encoders} encoders"
    return f"{runs} seed{'s' * (runs > 1)}, given {given}"


def encoders_of(names: pd.Index) -> pd.Index:
    """Return the encoder of each replicate."""
    return names.astype(str).str.split("/").str[0]


def copies(frame: pd.DataFrame, value: str) -> pd.Series:
    """Mark the rows that no seed changes: nothing is trained, neither before nor on the target.

    These are, under `none` and `random`, those of a target or measure whose values are the same for
    all seeds of an encoder, in every language and layer: in one, trained runs tie by chance.
    """
    marked = pd.Series(False, index=frame.index)
    if "condition" not in frame:
        return marked
    block = ["condition", *({"target", "measure"} & set(frame))]
    for _, rows in frame[frame["condition"].isin(UNTRAINED)].groupby(block):
        values = rows.groupby("replicate")[value].agg(lambda found: str(sorted(found)))
        by_encoder = values.groupby(encoders_of(values.index))
        alike = by_encoder.nunique().max() == 1 and by_encoder.ngroups < len(values)
        marked.loc[rows.index] = alike
    return marked
