"""What the kernel says: CPU time and memory of a process, and what machine this is. Reads /proc, changes nothing.

CPU time, not wall time, because other work may share the machine; Pss, not Rss, because pages shared with other
processes are not a cost of one more connection. Read next: server.py; bench/README.md, "Method".
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
VERSIONS: Final = ("longlink", "uvloop", "protobuf", "apsw")


class Cpu(NamedTuple):
    """Seconds since the process began, all its threads, also the ended ones.

    total_s: to the nanosecond, by the process's CPU clock. user_s, kernel_s: sampled by ticks of 10 ms, so good for the
    share of each in a long run only.
    """

    total_s: float
    user_s: float
    kernel_s: float

    def since(self, before: Cpu) -> Cpu:
        return Cpu(*(now - then for now, then in zip(self, before, strict=True)))


def family(pid: int) -> list[int]:
    """The process and all that descend from it: a server with its workers."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children[int(fields[1])].append(int(folder.name))
    found = [pid]
    for each in found:
        found += children[each]
    return found


def cpu(pid: int) -> Cpu:
    """Raises OSError when the process has gone. The clock id is that of clock_getcpuclockid(3) on Linux."""
    fields = _stat(pid)
    return Cpu(time.clock_gettime((~pid << 3) | 2), int(fields[11]) * TICK_S, int(fields[12]) * TICK_S)


def cpu_of(pids: Iterable[int]) -> Cpu:
    """Of several processes together; raises OSError when one has gone."""
    each = [cpu(pid) for pid in pids]
    return Cpu(*(sum(column) for column in zip(*each, strict=True)))


def _stat(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) behind the name, from the state on; nothing when the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def busy_s() -> float:
    """CPU seconds that all CPUs together were not idle, from an arbitrary beginning.

    From the idle time of proc_stat(5), which the kernel measures; the busy times there are sampled and miss short work.
    """
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    idle_s = (int(fields[4]) + int(fields[5])) * TICK_S
    return time.monotonic() * (os.cpu_count() or 1) - idle_s


def cpu_by_thread(pid: int) -> dict[str, float]:
    """Seconds by thread, threads of one name added up; threads that have ended are not in it.

    The first thread runs the event loop. Before Python 3.14 its other threads have no name of their own.
    """
    main = Path(f"/proc/{pid}/comm").read_text().strip()
    used: dict[str, float] = defaultdict(float)
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        if int(task.name) == pid:
            name = "event loop"
        elif name == main:
            name = "storage"
        used[name.rstrip("0123456789-")] += (int(fields[11]) + int(fields[12])) * TICK_S
    return dict(used)


def pss_bytes(pid: int) -> int:
    """Memory of the process, pages shared with others counted in part."""
    return _kib(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss:")


def own_bytes(pid: int) -> int:
    """Of those, what is not mapped from files: the share of a library changes when others that use it come or go."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return _kib(text, "Pss_Anon:") + _kib(text, "Pss_Shmem:")


def kernel_bytes() -> int:
    """What the kernel holds in its slabs and in the buffers of TCP, for all processes of this machine.

    Without the inodes of /proc, where it may be known (as root): whoever lists the files of processes makes one for
    each, and that is no cost of a connection.
    """
    pages = re.search(r"^TCP: .* mem (\d+)", Path("/proc/net/sockstat").read_text(), re.MULTILINE)
    buffers = int(pages[1]) * os.sysconf("SC_PAGESIZE") if pages else 0
    return _kib(Path("/proc/meminfo").read_text(), "Slab:") - _slab_bytes("proc_inode_cache") + buffers


def _slab_bytes(name: str) -> int:
    """As slabinfo(5) tells it; 0 where it does not."""
    try:
        lines = Path("/proc/slabinfo").read_text().splitlines()
    except OSError:
        return 0
    fields = next((line.split() for line in lines if line.startswith(f"{name} ")), [])
    return int(fields[2]) * int(fields[3]) if fields else 0


def _kib(text: str, field: str) -> int:
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(field))


def describe() -> dict[str, str]:
    """The machine and the versions, without a path or a name of the machine."""
    installed = " · ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    return {
        "commit": _commit(),
        "machine": f"{os.cpu_count()} CPUs, {_processor()}, {_memory_gib()} GiB",
        "kernel": platform.release(),
        "versions": f"Python {platform.python_version()} · {installed}",
    }


def _commit() -> str:
    """Of the source that runs, where that is a git repository."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    command = [git, "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - nothing from outside
    return asked.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> int:
    return round(_kib(Path("/proc/meminfo").read_text(), "MemTotal:") / 2**30)
