"""A study of 200 short parts whose workers and main process are killed at random moments, and started again,
gives the numbers of an undisturbed one, and its parts keep the cores busy.

    python benchmarks/kill_study.py [PARTS] [SECONDS]    (of a part; default 200 and 0.5; Linux)
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ohmgrad.studies.study import load_columns
from ohmgrad.studies.workers import cores

HOME = Path(__file__).parent.parent


def start(folder: Path, parts: int, seconds: float) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.studies.toy", folder, parts, cores(), seconds]
    # a file, as a pipe would hold back a process that nobody reads
    with folder.with_suffix(".log").open("a") as out:
        return subprocess.Popen([str(w) for w in words], cwd=HOME, stdout=out, text=True)


def workers_of(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(c) for c in children if "spawn_main" in command_of(int(c))]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def main() -> None:
    parts = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 0.5
    choose, killed = random.Random(0), {"workers": 0, "main": 0}
    with tempfile.TemporaryDirectory() as home:
        calm, rough = Path(home) / "calm", Path(home) / "rough"
        began = time.monotonic()
        start(calm, parts, seconds).wait()
        undisturbed = time.monotonic() - began
        print(f"undisturbed: {undisturbed:.0f} s; its parts on all cores: {parts * seconds / cores():.0f} s")
        began, process = time.monotonic(), start(rough, parts, seconds)
        while process.poll() is None:
            time.sleep(choose.uniform(0.5, 6.0))
            workers = workers_of(process.pid)
            if choose.random() < 0.25:
                process.kill()
                process.wait()
                killed["main"] += 1
                time.sleep(3)
                left = [pid for pid in workers if "spawn_main" in command_of(pid)]
                assert not left, f"workers {left} outlive their parent"
                process = start(rough, parts, seconds)
            elif workers:
                os.kill(choose.choice(workers), signal.SIGKILL)
                killed["workers"] += 1
        assert process.returncode == 0
        print(f"killed {killed}: {time.monotonic() - began:.0f} s")
        a, b = load_columns(calm), load_columns(rough)
        assert all((a[name] == b[name]).all() for name in a)
        assert len(a["value"]) == 4 * (parts - 1), "all but part 3, which fails"
        last = rough.with_suffix(".log").read_text().splitlines()[-1]
        assert last.endswith("failed ['p3']"), last
        print(
            f"{len(a['value'])} values are those of the undisturbed study; part 3 failed in both, as it must"
        )


if __name__ == "__main__":
    main()
