"""Run the grid of a profile: one notebook per cell, then the analysis notebooks.

`make figures PROFILE=world` calls it. A cell's declared output is its `run.json`, written last; what
exists was checked against the profile before anything runs (`lib.workflow`), and stays, though the
job that made it fail after it (`update`). On one machine each cell takes 1 of the resource `device`,
of which there are `workflow.cells_per_device`; on a cluster it asks for what `workflow.resources` says of its phase.
"""

import os
import shlex
import sys

from lib import cluster, parent, paths, profile

S = profile.load(config.get("profile", "world"))
RESULTS = paths.results(S.name)
ANALYSES = sorted(file.stem for file in paths.NOTEBOOKS.glob("analysis_*.ipynb"))
TOGETHER = S.workflow.kernel_per
CONDITIONS = ["all"] if TOGETHER == "seed" else list(S.conditions)
TARGETS = list(S.targets) if TOGETHER == "target" else ["all"]
TRAINED = {name for name, condition in S.conditions.items() if condition.task}
if TRAINED:
    TRAINED.add("all")


if "--target-jobs" in sys.argv:  # this is a job on a cluster
    parent.tell_children()


# Where everything lies, for jobs that start in an environment of their own (SLURM's have this one).
ROOTS = [f"{name}_ROOT" for name in ("DATA", "CCGBANK", "RESULTS", "FIGURES", "WORLDS")]


envvars:
    *[name for name in ROOTS if os.environ.get(name)],


def kept(key):
    """Name a file among the results, which all machines share: no storage provider copies it."""
    return local(str(RESULTS / key))


def encoders(wildcards):
    """Return the cells of phase 1 whose encoders a cell starts from."""
    seeds = [int(wildcards.seed)] if int(wildcards.seed) else S.seeds_of(wildcards.condition)
    numbers = sorted({S.seeds[seed] for seed in seeds})
    return [kept(f"pretrain/seed={number}/run.json") for number in numbers]


def earlier(wildcards):
    """Return the cells of phase 1 or 2 whose encoders a transfer cell starts from."""
    if wildcards.condition in TRAINED:
        return [kept(f"intermediate/{wildcards.condition}/seed={wildcards.seed}/run.json")]
    return encoders(wildcards)


def execute(notebook, **parameters):
    """Return the shell command that executes a notebook into the folder of its cell.

    It takes the place of the shell, which SIGTERM would end.
    """
    given = " ".join(f"{name}={value}" for name, value in parameters.items())
    chosen = shlex.quote("profile=" + config.get("profile", "world"))
    return f"""
        export OMP_NUM_THREADS={{threads}}
        exec {shlex.quote(sys.executable)} -m lib.execution {notebook} \
            {shlex.quote(str(RESULTS))} {{params.key}} {chosen} {given}
    """


rule all:
    input:
        [kept(f"{analysis}/notebook.ipynb") for analysis in ANALYSES],


rule pretrain:
    output:
        update(kept("pretrain/seed={seed}/run.json")),
    params:
        key="pretrain/seed={seed}",
    threads: S.workflow.threads
    resources:
        device=1,
        **cluster.resources(S, "pretrain"),
    message:
        "1 pretrain: encoder seed {wildcards.seed}"
    shell:
        execute("1_pretrain", encoder_seed="{wildcards.seed}")


rule intermediate:
    input:
        encoders,
    output:
        update(kept("intermediate/{condition}/seed={seed}/run.json")),
    params:
        key="intermediate/{condition}/seed={seed}",
    threads: S.workflow.threads
    resources:
        device=1,
        **cluster.resources(S, "intermediate"),
    message:
        "2 intermediate: {wildcards.condition}, seed {wildcards.seed}"
    shell:
        execute(
            "2_intermediate",
            condition="{wildcards.condition}",
            seed="{wildcards.seed}",
        )


rule transfer:
    input:
        earlier,
    output:
        update(kept("transfer/{condition}/{target}/seed={seed}/run.json")),
    params:
        key="transfer/{condition}/{target}/seed={seed}",
    threads: S.workflow.threads
    resources:
        device=1,
        **cluster.resources(S, "transfer"),
    message:
        "3 transfer: {wildcards.condition} to {wildcards.target}, seed {wildcards.seed}"
    shell:
        execute(
            "3_transfer",
            target="{wildcards.target}",
            condition="{wildcards.condition}",
            seed="{wildcards.seed}",
        )


rule analysis:
    input:
        [
            kept(f"transfer/{condition}/{target}/seed={seed}/run.json")
            for condition in CONDITIONS
            for target in TARGETS
            for seed in ([0] if TOGETHER == "condition" else S.seeds_of(condition))  # 0: all
        ],
    output:
        kept("{analysis}/notebook.ipynb"),
    wildcard_constraints:
        analysis="analysis_[a-z_]+",
    params:
        key="{analysis}",
        study=profile.digest(S.model_dump(exclude={"workflow"})),
    threads: S.workflow.threads
    resources:
        **cluster.resources(S, "analysis"),
    message:
        "figures: {wildcards.analysis}"
    shell:
        execute("{wildcards.analysis}")
