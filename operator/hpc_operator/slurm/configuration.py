"""Renders the configuration files of Slurm from the partitions of an environment.

Pure: the same partitions give the same text, so that nothing is written when nothing changed. Knows neither Azure nor
how the files reach the scheduler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hpc_operator.api import ComputePartition
from hpc_operator.api.common import parse_duration

SCHEDULER_HOST: Final = "scheduler"
STATE_DIRECTORY: Final = "/var/spool/slurmctld"
CONTROLLER_PORT: Final = 6817

MAX_NODES: Final = 8192
"""Room in slurmctld's tables for dynamic nodes. The same everywhere, because a new number takes a restart."""

# Boot with drivers and mounts takes HPC nodes up to ten minutes; these two are what Azure/cyclecloud-slurm sets.
_RESUME_TIMEOUT: Final = 1800
_SUSPEND_TIMEOUT: Final = 600

_HEADER: Final = """\
# Written by azure-hpc-operator; an edit made here is lost. Edit the HPCEnvironment (scheduler.slurm.config) and its
# ComputePartitions instead.
"""

_MANAGED: Final = f"""\
SlurmctldHost={SCHEDULER_HOST}
SlurmctldPort={CONTROLLER_PORT}
SlurmdPort=6818
SrunPortRange=60001-63000
SlurmctldParameters=enable_configless,idle_on_node_suspend
CommunicationParameters=NoInAddrAny
TreeWidth=65533
MaxNodeCount={MAX_NODES}
SlurmUser=slurm
AuthType=auth/munge
StateSaveLocation={STATE_DIRECTORY}
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ProctrackType=proctrack/cgroup
TaskPlugin=task/affinity,task/cgroup
MpiDefault=none
ReturnToService=2
PrivateData=cloud
ResumeProgram=/bin/true
SuspendProgram=/bin/true
ResumeTimeout={_RESUME_TIMEOUT}
SuspendTimeout={_SUSPEND_TIMEOUT}
SuspendTime=INFINITE
"""

# slurmctld ends with "No PartitionName information available!" where there is none.
_NO_PARTITION: Final = "PartitionName=none Hidden=YES State=INACTIVE\n"


def render(
    cluster_name: str, partitions: Sequence[ComputePartition], extra_lines: Sequence[str] = ()
) -> Mapping[str, str]:
    """Return the configuration files by name.

    Parameters
    ----------
    cluster_name
        Name of the cluster.
    partitions
        The partitions, in any order. The oldest is the default one, so that a new partition moves nobody's jobs.
    extra_lines
        The user's lines of slurm.conf. They stand last, and Slurm takes the last value of a key: a line that repeats
        one of ours wins, at the user's own risk.
    """
    by_age = sorted(partitions, key=lambda partition: (partition.metadata.creation_timestamp, partition.metadata.name))
    sections = [
        f"{_HEADER}ClusterName={cluster_name}\n{_MANAGED}",
        _partition_lines(by_age) if by_age else _NO_PARTITION,
        *("".join(f"{line}\n" for line in extra_lines),) * bool(extra_lines),
    ]
    return {
        "slurm.conf": "\n".join(sections),
        "cgroup.conf": f"{_HEADER}ConstrainCores=yes\n",
    }


def _partition_lines(partitions: Sequence[ComputePartition]) -> str:
    lines = []
    # A node that keeps running while Slurm believes it powered down hangs the next job (measured with 22.05), so Slurm
    # may not suspend where the operator keeps nodes running.
    kept = [partition.partition_name for partition in partitions if partition.spec.nodes.min > 0]
    if kept:
        lines.append(f"SuspendExcParts={','.join(kept)}")
    for number, partition in enumerate(partitions):
        name = partition.partition_name
        idle = max(1, int(parse_duration(partition.spec.nodes.idle_timeout).total_seconds()))
        default = " Default=YES" if number == 0 else ""
        lines += [
            f"NodeSet={name} Feature={name}",
            f"PartitionName={name} Nodes={name}{default} MaxTime=INFINITE State=UP SuspendTime={idle}",
        ]
    return "".join(f"{line}\n" for line in lines)
