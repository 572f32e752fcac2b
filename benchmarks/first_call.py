"""Seconds of the first update in a fresh process: with an empty kernel cache, and with a full one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from common import machine

PROGRAM = """
import time, torch, ohmgrad as og
device = og.Device(og.SoftBounds.symmetric(0.6), dw_min=0.001, noise=og.Noise(0.3))
tile = og.Tile((256, 784), device)
x, d = torch.rand(10, 784), torch.randn(10, 256)
start = time.perf_counter()
tile.pulse(x, d, 0.01)
print(time.perf_counter() - start)
"""


def main() -> None:
    print(f"first update in a fresh process\n{machine()}\n")
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "NUMBA_CACHE_DIR": folder}
        for label, target in (("compiling", 20), ("cached", 1)):
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True
            )
            print(f"{label:10} {float(done.stdout):6.2f} s   (target: under {target} s)")


if __name__ == "__main__":
    main()
