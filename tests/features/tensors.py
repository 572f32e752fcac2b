"""The gradient of an analog weight as a tensor: it keeps its factors and is read as a matrix."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmgrad import AnalogSGD

from . import Group, ideal, loss_of, mlp, real, same, step

group = Group("`p.grad` of an analog weight as a tensor")


def pair() -> tuple[Tensor, Tensor]:
    """The gradients of an analog weight and of its digital twin's."""
    found: list[Any] = []
    for model in (ideal(mlp()), mlp()):
        loss_of(model).backward()
        found.append(model[0].weight.grad)
    return found[0], found[1]


def alike(*reads: Callable[[Tensor], Any]) -> None:
    for read in reads:
        analog, digital = pair()
        same(read(analog), read(digital))


@group.works("`numpy()`, `np.asarray`, `tolist()`, `item()` of an entry, `torch.from_dlpack`")
def as_numpy() -> None:
    alike(
        lambda g: torch.from_numpy(g.numpy()),
        lambda g: torch.from_numpy(np.asarray(g).copy()),
        lambda g: g.tolist(),
        lambda g: g[1, 2].item(),
        lambda g: torch.from_dlpack(g),
    )


@group.works("any operation of torch: products, `svdvals`, `where`, `topk`, `einsum`, slices, comparisons")
def operations() -> None:
    alike(
        lambda g: g @ g.t(),
        torch.linalg.svdvals,
        lambda g: torch.where(g > 0, g, 0.0),
        lambda g: g.flatten().topk(3)[0],
        lambda g: torch.einsum("ij,kj->ik", g, g),
        lambda g: g[1:, ::2],
        lambda g: torch.quantile(g, 0.3),
        lambda g: torch.nn.utils.parameters_to_vector([g, g]),
        lambda g: sum([g, g]),
    )
    analog, digital = pair()
    assert torch.equal(analog, analog.to_dense())
    assert not torch.equal(analog, digital + 1)
    assert torch.allclose(digital, analog)


@group.works("`is_sparse`, `layout`, `shape`, `dtype`, `stride()`, `nbytes`, `is_leaf`, `torch.is_tensor`")
def properties() -> None:
    analog, digital = pair()
    for name in (
        "is_sparse",
        "layout",
        "shape",
        "dtype",
        "device",
        "nbytes",
        "is_leaf",
        "requires_grad",
        "ndim",
    ):
        assert getattr(analog, name) == getattr(digital, name), name
    assert analog.stride() == digital.stride()
    assert torch.is_tensor(analog)


@group.works("`pickle`, `torch.save`, safetensors of gradients", "an ordinary matrix is saved")
def saved() -> None:
    analog, digital = pair()
    file = io.BytesIO()
    torch.save(analog, file)
    file.seek(0)
    for again in (torch.load(file, weights_only=True), pickle.loads(pickle.dumps(analog))):
        assert type(again) is Tensor
        same(again, digital)
    safetensors: Any = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    with TemporaryDirectory() as folder:
        safetensors.save_file({"g": analog}, Path(folder) / "g")
        same(safetensors.load_file(Path(folder) / "g")["g"], digital)


@group.works("`clone()`, `detach()`, `copy.deepcopy`: copies that keep the factors and can be put back")
def copied() -> None:
    for make in (torch.clone, torch.detach, copy.deepcopy):
        found = []
        for put in (False, True):
            model = real()
            optimizer = AnalogSGD(model.parameters(), lr=0.5)
            loss_of(model).backward()
            if put:
                kept = make(model[0].weight.grad)
                model[0].weight.grad = None
                model[0].weight.grad = kept
            optimizer.step()
            found.append(model[0].weight.detach())
        assert torch.equal(*found)


@group.works("`print`", "says how many products it is; print `p.grad.to_dense()` for the numbers")
def printed() -> None:
    analog, digital = pair()
    assert str(analog) == "FactoredGradient(5 x 6, 1 products)"
    assert f"{analog.norm():.5f}" == f"{digital.norm():.5f}"


@group.works("in a module that is copied, pickled, shared or moved between backward and step")
def with_module() -> None:
    model = real()
    loss_of(model).backward()
    copy.deepcopy(model)
    pickle.loads(pickle.dumps(model))
    model.share_memory()
    model.to("cpu")
    other = real()
    for m in (model, other):
        m.zero_grad()
        step(m, AnalogSGD(m.parameters(), lr=0.5))
    assert torch.equal(model[0].weight, other[0].weight)
