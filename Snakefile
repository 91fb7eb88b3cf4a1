"""Run the grid of a profile: one papermill call per cell, then the analysis notebooks.

`make figures PROFILE=world` calls it. A cell's declared output is its `run.json`, written last; what
exists was checked against the profile before anything runs (`lib.workflow`). Each cell takes 1 of the
resource `device`, of which there are `workflow.cells_per_device`.
"""

import shlex
import sys

from lib import paths, profile

S = profile.load(config.get("profile", "world"))
RESULTS = paths.results(S.name)
ANALYSES = sorted(file.stem for file in paths.NOTEBOOKS.glob("analysis_*.ipynb"))
TOGETHER = S.workflow.kernel_per
CONDITIONS = ["all"] if TOGETHER == "seed" else list(S.conditions)
TARGETS = list(S.targets) if TOGETHER == "target" else ["all"]
TRAINED = {"all", *(name for name, condition in S.conditions.items() if condition.task)}


def encoders(wildcards):
    """Return the cells of phase 1 whose encoders a cell starts from."""
    seeds = [int(wildcards.seed)] if int(wildcards.seed) else S.seeds_of(wildcards.condition)
    numbers = sorted({S.seeds[seed] for seed in seeds})
    return [RESULTS / f"pretrain/seed={number}/run.json" for number in numbers]


def earlier(wildcards):
    """Return the cells of phase 1 or 2 whose encoders a transfer cell starts from."""
    if wildcards.condition in TRAINED:
        return [RESULTS / f"intermediate/{wildcards.condition}/seed={wildcards.seed}/run.json"]
    return encoders(wildcards)


def papermill(notebook, names):
    """Return the shell command that runs a notebook into the folder of its cell.

    The executed notebook moves in after papermill exits; after a failure it stays in `.work/`.
    """
    given = " ".join(f"-p {name} {value}" for name, value in names.items())
    notebooks, python = shlex.quote(str(paths.NOTEBOOKS)), shlex.quote(sys.executable)
    return f"""
        results={shlex.quote(str(RESULTS))}
        work="$results/.work/{{params.key}}" && mkdir -p "$work"
        export OMP_NUM_THREADS={{threads}}
        {python} -m papermill {notebooks}/{notebook}.ipynb "$work/notebook.ipynb" \
            -p profile {shlex.quote(config.get("profile", "world"))} {given} --cwd {notebooks} \
            --no-progress-bar --log-level ERROR > "$work/log.txt" 2>&1 ||
            {{{{ echo "failed: $work/notebook.ipynb" >&2; tail -n 3 "$work/log.txt" >&2; exit 1; }}}}
        mkdir -p "$results/{{params.key}}"
        mv "$work/notebook.ipynb" "$results/{{params.key}}/notebook.ipynb"
    """


rule all:
    input:
        expand(RESULTS / "{analysis}/notebook.ipynb", analysis=ANALYSES),


rule pretrain:
    output:
        RESULTS / "pretrain/seed={seed}/run.json",
    params:
        key="pretrain/seed={seed}",
    threads: S.workflow.threads
    resources:
        device=1,
    message:
        "1 pretrain: encoder seed {wildcards.seed}"
    shell:
        papermill("1_pretrain", {"encoder_seed": "{wildcards.seed}"})


rule intermediate:
    input:
        encoders,
    output:
        RESULTS / "intermediate/{condition}/seed={seed}/run.json",
    params:
        key="intermediate/{condition}/seed={seed}",
    threads: S.workflow.threads
    resources:
        device=1,
    message:
        "2 intermediate: {wildcards.condition}, seed {wildcards.seed}"
    shell:
        papermill(
            "2_intermediate",
            {"condition": "{wildcards.condition}", "seed": "{wildcards.seed}"},
        )


rule transfer:
    input:
        earlier,
    output:
        RESULTS / "transfer/{condition}/{target}/seed={seed}/run.json",
    params:
        key="transfer/{condition}/{target}/seed={seed}",
    threads: S.workflow.threads
    resources:
        device=1,
    message:
        "3 transfer: {wildcards.condition} to {wildcards.target}, seed {wildcards.seed}"
    shell:
        papermill(
            "3_transfer",
            {
                "target": "{wildcards.target}",
                "condition": "{wildcards.condition}",
                "seed": "{wildcards.seed}",
            },
        )


rule analysis:
    input:
        [
            RESULTS / f"transfer/{condition}/{target}/seed={seed}/run.json"
            for condition in CONDITIONS
            for target in TARGETS
            for seed in ([0] if TOGETHER == "condition" else S.seeds_of(condition))  # 0: all
        ],
    output:
        RESULTS / "{analysis}/notebook.ipynb",
    wildcard_constraints:
        analysis="analysis_[a-z_]+",
    params:
        key="{analysis}",
        study=profile.digest(S.model_dump()),
    threads: S.workflow.threads
    message:
        "figures: {wildcards.analysis}"
    shell:
        papermill("{wildcards.analysis}", {})
