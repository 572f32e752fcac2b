"""Bytes per cell that a tile holds: its weights and the planes of its elements."""

from __future__ import annotations

import ohmgrad as og
from common import PAPER, machine


def main() -> None:
    print(f"memory per cell\n{machine()}\n")
    alike = og.Device(og.SoftBounds.symmetric(0.6), dw_min=0.001, noise=og.Noise(0.3))
    for label, device, target in (("full spread", PAPER, 24), ("uniform", alike, 4)):
        tile = og.Tile((1024, 1024), device)
        e = tile.elements
        tensors = (tile.weight, e.up, e.down, e.lower, e.upper)
        size = sum(t.numel() * t.element_size() for t in tensors) / tile.weight.numel()
        print(f"{label:12} {size:7.3f} bytes per cell   (target: at most {target})")


if __name__ == "__main__":
    main()
