"""Run a real SLURM on this machine alone, as root, without systemd and without accounts.

`python tests/slurm/one_machine.py make figures PROFILE=tiny EXECUTOR=slurm` runs a command in it.
Everything lies in a temporary folder, and is gone in the end. Needs Debian's slurmctld, slurmd and
munge.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
CONFIGURATION = """
ClusterName=one_machine
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=1,requeue_delay=1
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=30
ReturnToService=2
MpiDefault=none
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={processors} RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=day Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=30
PartitionName=spot Nodes={host} MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=CANCEL
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=2
"""


def missing() -> str:
    """Say why no SLURM can be run here; an empty string where it can."""
    absent = [name for name in PROGRAMS if not shutil.which(name, path=_path())]
    if absent:
        return f"no {', '.join(absent)}: apt-get install slurmctld slurmd slurm-client munge"
    return "" if os.getuid() == 0 else "SLURM's daemons run jobs as root only"


@contextmanager
def slurm() -> Iterator[dict[str, str]]:
    """Start a SLURM of two made-up GPUs and this machine's processors; yield its environment."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    os.chmod(folder, 0o755)  # munge wants to know who else may write there
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    host, (controller, node) = socket.gethostname().split(".")[0], _free_ports(2)
    text = CONFIGURATION.format(
        host=host, folder=folder, controller=controller, node=node, processors=os.cpu_count()
    )
    (folder / "slurm.conf").write_text(text, encoding="utf-8")
    devices = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"
    (folder / "gres.conf").write_text(devices, encoding="utf-8")
    (folder / "munge.key").write_bytes(os.urandom(128))
    os.chmod(folder / "munge.key", 0o400)
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    environment["PATH"] = f"{folder / 'bin'}:{_path()}"
    # Snakemake's executor takes SLURM_CONF from srun, which on a cluster needs none.
    srun = f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n'
    (folder / "bin").mkdir()
    (folder / "bin/srun").write_text(srun, encoding="utf-8")
    os.chmod(folder / "bin/srun", 0o755)
    files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid",
             "log-file": "munge.log", "seed-file": "munge.seed"}  # fmt: skip
    options = [f"--{name}={folder / file}" for name, file in files.items()]
    daemons = [
        ["munged", "--foreground", "--force", *options],
        ["slurmctld", "-D"],
        ["slurmd", "-D"],
    ]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for daemon in daemons:
            running.append(
                subprocess.Popen(
                    daemon, env=environment, stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )
            )  # fmt: skip
            time.sleep(1)
        if not _wait_for(["sinfo", "--noheader", "--format=%T"], {"idle"}, environment):
            logs = [file.read_text(encoding="utf-8")[-1500:] for file in folder.glob("*.log")]
            raise RuntimeError("\n".join(["SLURM does not start", *logs]))
        yield environment
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment, check=False)
        _wait_for(["squeue", "--noheader"], set(), environment)  # what is cancelled takes its time
        for process in reversed(running):
            process.terminate()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_for(
    asked: list[str], wanted: set[str], environment: dict[str, str], seconds: float = 60
) -> bool:
    """Wait until a command says nothing but these words; say whether it came to that."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0 and set(done.stdout.split()) == wanted:
            return True
        time.sleep(0.5)
    return False


if __name__ == "__main__":
    if reason := missing():
        sys.exit(reason)
    with slurm() as cluster:
        sys.exit(subprocess.run(sys.argv[1:], env=cluster, check=False).returncode)
