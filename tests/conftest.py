"""Fixtures that several test files share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import torch

if not torch.cuda.is_available():  # kernels in Triton ask for this when they are imported
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small networks on one thread: on a busy machine two would mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def threads() -> Iterator[None]:
    """Torch's number of threads, put back after a test that changes it."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as at a terminal: what runs in the background ignores it, and so do its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def small_cifar_and_no_folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR files of few images; and OHMGRAD_DATA is not set, but for tests of the real files."""
    monkeypatch.setattr("ohmgrad.datasets.images._CIFAR_RECORDS", {"cifar10": (4, 4), "cifar100": (20, 4)})
    if "real" not in request.node.name:
        monkeypatch.delenv("OHMGRAD_DATA", raising=False)
