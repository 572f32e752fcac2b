"""The demo: where Analog SGD stalls, Tiki-Taka goes on (Wu et al. 2024, arXiv 2406.12774).

The same 64-32-10 network on scikit-learn's digits, digital and on the paper's device (soft bounds
[-0.6, 0.6], 1200 states, with its spread and noise), at pulse fidelity. Every algorithm has the learning
rate of the lowest final training loss of seed 0 among 0.1, 0.2, 0.5 and 1; Tiki-Taka's other options were
set once (fast_lr 0.1, four columns per transfer) and not tuned.
"""

from __future__ import annotations

from .spec import RunSpec

__all__ = ["DEMO"]

DEMO = RunSpec(
    data="digits",
    model="mlp",
    device="paper",
    algorithms=("digital", "sgd", "tiki-taka"),
    lr=0.2,
    lrs={"digital": 1.0},
    options={"fast_lr": 0.1, "columns": 4},
    epochs=30,
    seeds=(0, 1, 2, 3, 4),
)
