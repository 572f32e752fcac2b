"""Saving and loading."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from ohmgrad import AnalogSGD, TikiTaka, convert

from . import REAL, Group, X, ideal, mlp, parameters, real, same, step
from .libraries import lightning_fit, logged, trainer

group = Group("Checkpoints")


def trained_pair(**settings: Any) -> tuple[Any, Any]:
    """A model of pulsed elements and its optimizer, after two steps."""
    model = real(**settings)
    optimizer = TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1, gamma=0.5)
    for _ in range(2):
        step(model, optimizer)
    return model, optimizer


def goes_on(model: Any, optimizer: Any, other: Any) -> None:
    """A model and an optimizer that were restored train as the first ones, to the bit."""
    twin, its_optimizer = other
    assert [step(model, optimizer) for _ in range(3)] == [step(twin, its_optimizer) for _ in range(3)]
    assert all(map(torch.equal, parameters(model), parameters(twin)))
    assert optimizer.events() == its_optimizer.events()


@group.works("`state_dict()` by `torch.save`, loaded with `weights_only=True`: training goes on to the bit")
def saved() -> None:
    model, optimizer = trained_pair()
    with TemporaryDirectory() as folder:
        torch.save([model.state_dict(), optimizer.state_dict()], f"{folder}/state")
        states = torch.load(f"{folder}/state", weights_only=True)
    twin = real()
    other = TikiTaka(twin.parameters(), lr=0.1, fast_lr=0.1, gamma=0.5)
    twin.load_state_dict(states[0])
    other.load_state_dict(states[1])
    goes_on(model, optimizer, (twin, other))


@group.works("`torch.save(model)`, `pickle` of model and optimizer together")
def whole() -> None:
    model, optimizer = trained_pair()
    goes_on(model, optimizer, pickle.loads(pickle.dumps((model, optimizer))))


@group.works("`load_state_dict(..., assign=True)`")
def assigned() -> None:
    model, optimizer = trained_pair()
    twin = real()
    twin.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)
    other = TikiTaka(twin.parameters(), lr=0.1, fast_lr=0.1, gamma=0.5)
    other.load_state_dict(optimizer.state_dict())
    goes_on(model, optimizer, (twin, other))


@group.works('`to("meta")`, `to_empty()` and a state, or `assign=True`')
def from_meta() -> None:
    model, optimizer = trained_pair()
    for empty in (False, True):
        twin = real().to("meta")
        if empty:
            twin.to_empty(device="cpu")
        twin.load_state_dict(copy.deepcopy(model.state_dict()), assign=not empty)
        other = TikiTaka(twin.parameters(), lr=0.1, fast_lr=0.1, gamma=0.5)
        other.load_state_dict(optimizer.state_dict())
        goes_on(*copy.deepcopy((model, optimizer)), (twin, other))


@group.refused(
    "a pass of a model on meta",
    "an analog layer is on meta, without weights: call model.to_empty(device='cpu'), then load a state",
)
def on_meta() -> None:
    real().to("meta")(X.to("meta"))


@group.works("safetensors: `save_model`, `save_file` of the state")
def safe() -> None:
    safetensors: Any = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    model, _ = trained_pair()
    with TemporaryDirectory() as folder:
        safetensors.save_file(model.state_dict(), Path(folder) / "state")
        safetensors.save_model(model, Path(folder) / "model")
        for i in (0, 1):
            twin = real()
            if i:
                safetensors.load_model(twin, Path(folder) / "model")
            else:
                twin.load_state_dict(safetensors.load_file(Path(folder) / "state"))
            assert torch.equal(twin(X), model(X))


@group.works("accelerate's `save_state` and `load_state`: training goes on to the bit")
def accelerated() -> None:
    accelerate: Any = pytest.importorskip("accelerate")  # which not everyone has
    with TemporaryDirectory() as folder:
        accelerator = accelerate.Accelerator(cpu=True)
        model, optimizer = accelerator.prepare(*trained_pair())
        accelerator.save_state(folder)
        losses = [step(model, optimizer) for _ in range(3)]
        accelerator.load_state(folder)
        assert [step(model, optimizer) for _ in range(3)] == losses


@group.works("the state of a digital model, with `strict=False`", "its weights are mapped as `convert` does")
def digital_state() -> None:
    for scale in (1.0, 20.0):
        digital, twin = mlp(), real()
        with torch.no_grad():
            digital[0].weight.mul_(scale)
        twin.load_state_dict(digital.state_dict(), strict=False)
        same(twin[0].digital_weight(), digital[0].weight.detach(), atol=0.6 * scale)
        exact = ideal(mlp())
        exact.load_state_dict(digital.state_dict(), strict=False)
        same(exact(X), digital(X), atol=1e-5)


OTHER = (
    "the state of layer '0' is of other elements ({}): convert as it was saved, or leave out its 'analog.' "
    "entries and load with strict=False, to write its weights here"
)


@group.refused("a checkpoint of another seed", OTHER.format("seed 3, here 4"))
def other_seed() -> None:
    convert(mlp(), REAL, seed=4).load_state_dict(trained_pair()[0].state_dict())


@group.refused("a checkpoint of another device", OTHER.format("device.dw_min 0.001, here 0.002"))
def other_device() -> None:
    device = dataclasses.replace(REAL, dw_min=0.002)
    convert(mlp(), device, seed=3).load_state_dict(trained_pair()[0].state_dict())


@group.refused(
    "a checkpoint of another `max_tile`",
    OTHER.format('tiles ["0:5 x 0:6"], here ["0:5 x 0:3", "0:5 x 3:6"]'),
)
def other_tiling() -> None:
    real(max_tile=(5, 3)).load_state_dict(trained_pair()[0].state_dict())


@group.refused(
    "the state of another algorithm",
    "the state has no option 'columns', which TikiTaka has: load it into the algorithm that saved it",
)
def other_algorithm() -> None:
    model = real()
    state = AnalogSGD(model.parameters(), lr=0.1).state_dict()
    TikiTaka(model.parameters(), lr=0.1, fast_lr=0.1).load_state_dict(state)


@group.works("Hugging Face's `Trainer`, resumed from its checkpoint, to the bit")
def hugging_face_resumed() -> None:
    found = []
    with TemporaryDirectory() as folder:
        for resume in (None, f"{folder}/checkpoint-2"):
            model = real()
            optimizer = TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1)
            made = trainer(model, optimizer, folder, save_strategy="steps", save_steps=2)
            made.train(resume_from_checkpoint=resume)
            found.append(([w for w, _ in logged(made)][-2:], optimizer.events(), model[0].weight.tolist()))
    assert found[0] == found[1]


@group.works("Lightning, resumed from its checkpoint, to the bit")
def lightning_resumed() -> None:
    found = []
    with TemporaryDirectory() as folder:
        for resume in (None, f"{folder}/kept"):
            model = real()
            optimizer: list[Any] = []

            def make(params: Any, optimizer: list[Any] = optimizer) -> Any:
                optimizer.append(TikiTaka(params, lr=0.2, fast_lr=0.1))
                return optimizer[0]

            if resume is None:
                part = lightning_fit(real(), lambda p: TikiTaka(p, lr=0.2, fast_lr=0.1), max_epochs=1)
                part.fitted.save_checkpoint(f"{folder}/kept")
            losses = lightning_fit(model, make, ckpt_path=resume).losses
            found.append((losses[-2:], optimizer[0].events(), model[0].weight.tolist()))
    assert found[0] == found[1]
