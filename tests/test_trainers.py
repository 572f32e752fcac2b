"""Hugging Face's Trainer and Lightning: runs that they save and resume go on exactly."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import ohmgrad
from ohmgrad import AGAD, Device, Noise, SoftBounds, Spread, TikiTaka
from ohmgrad.nn import analog_layers
from tests.cases import MEMORIES

pytestmark = pytest.mark.usefixtures("one_thread")

SPREAD = Spread(dw_min=0.3, w_max=0.3, w_min=0.3)
DEVICES = {
    name: Device(SoftBounds.symmetric(0.6), 0.001, SPREAD, Noise(0.3), **parts)
    for name, parts in {"plain": {}, "all": MEMORIES["all"], "all-pair": MEMORIES["all-pair"]}.items()
}
SIZES: dict[str, Any] = {"vocab_size": 50, "initializer_range": 0.1}


def assert_same(run: tuple[Any, Any], other: tuple[Any, Any]) -> None:
    """Two models and optimizers are as one: weights, events, and what elements and arrays hold."""
    states = [[*r[0].state_dict().items(), *numbers(r[1].state_dict()["state"])] for r in (run, other)]
    for (name, a), (again, b) in zip(*states, strict=True):
        assert name == again
        assert torch.equal(a, b) if isinstance(a, Tensor) else a == b, name


def numbers(state: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(state, dict):
        for key, value in state.items():
            yield from numbers(value, f"{name}/{key}")
    else:
        yield name, state


class Tokens(Dataset[dict[str, Any]]):
    """Sequences, with themselves or with a class as labels."""

    def __init__(self, classes: bool) -> None:
        self.classes = classes

    def __len__(self) -> int:
        return 64

    def __getitem__(self, i: int) -> dict[str, Any]:
        x = torch.randint(0, 50, (8,), generator=torch.Generator().manual_seed(i))
        return {"input_ids": x, "labels": int(x[0]) % 3 if self.classes else x}


def gpt2() -> Any:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=1, n_embd=16, n_head=2, n_positions=16, bos_token_id=0, eos_token_id=0, **SIZES
    )
    return transformers.GPT2LMHeadModel(config)


def bert() -> Any:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=16, num_labels=3, **SIZES,
    )  # fmt: skip
    return transformers.BertForSequenceClassification(config)


MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "gpt2": (gpt2, {"include": ["*.attn.*", "*.mlp.*"]}),
    "gpt2-mapped": (gpt2, {"include": ["*.attn.*", "*.mlp.*"], "omega": 0.5, "max_tile": (16, 12)}),
    "bert": (bert, {"omega": 0.5}),
}


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", MODELS)
def test_hugging_faces_trainer_resumes_exactly(name: str, device: str, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    make, settings = MODELS[name]

    def fit(resume: Any = None) -> tuple[Any, Any, list[float]]:
        torch.manual_seed(0 if resume is None else 1)  # dropout is on, and the start is another
        model = ohmgrad.convert(make(), DEVICES[device], seed=4, **settings)
        optimizer = TikiTaka(model.parameters(), lr=0.1, fast_lr=0.1, gamma=0.2, columns=4, momentum=0.5)
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path), max_steps=4, save_steps=2, per_device_train_batch_size=8,
            logging_steps=1, max_grad_norm=0.0, report_to=[], use_cpu=True, disable_tqdm=True, seed=3,
        )  # fmt: skip
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 0.9**n)
        trainer = transformers.Trainer(
            model=model,
            args=arguments,
            train_dataset=Tokens(name == "bert"),
            optimizers=(optimizer, schedule),
        )
        trainer.train(resume_from_checkpoint=resume)
        return model, optimizer, [row["loss"] for row in trainer.state.log_history if "loss" in row]

    model, optimizer, losses = fit()
    again, other, resumed = fit(str(tmp_path / "checkpoint-2"))
    assert resumed == losses
    assert_same((model, optimizer), (again, other))
    assert optimizer.events() == other.events()
    assert optimizer.events()["pulses_up"] > 0
    digital = type(make()).from_pretrained(tmp_path / "checkpoint-4")
    layer_name, layer = analog_layers(model)[0]
    assert torch.equal(digital.get_submodule(layer_name).weight.detach(), layer.digital_weight())


def test_saved_files_are_read_by_the_plain_model_which_notes_the_rest(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    model: Any = ohmgrad.convert(gpt2(), DEVICES["all"], include=["*.attn.*", "*.mlp.*"])
    model.save_pretrained(tmp_path)
    plain, notes = type(gpt2()).from_pretrained(tmp_path, output_loading_info=True)
    assert not notes["missing_keys"]
    assert not notes["mismatched_keys"]
    assert all(".analog." in key for key in notes["unexpected_keys"])
    assert not any("analog" in key for key in plain.state_dict())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [TikiTaka, AGAD])
@pytest.mark.parametrize("device", DEVICES)
def test_lightning_resumes_exactly(device: str, make: Any, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    data = TensorDataset(torch.randn(40, 6), torch.randint(0, 3, (40,)))

    class Module(lightning.LightningModule):
        def __init__(self, seed: int) -> None:
            super().__init__()
            torch.manual_seed(seed)
            net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
            self.net = ohmgrad.convert(net, DEVICES[device], seed=4)

        def training_step(self, batch: Any, i: int) -> Tensor:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            optimizer = make(self.parameters(), lr=0.1, fast_lr=0.1, columns=2)
            return {
                "optimizer": optimizer,
                "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9),
            }

    def fit(epochs: int, resume: Any = None) -> Any:
        trainer = lightning.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        module = Module(0 if resume is None else 1)
        trainer.fit(module, DataLoader(data, 8), ckpt_path=resume)
        return trainer, module

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer, _ = fit(1)
        trainer.save_checkpoint(tmp_path / "one.ckpt")
        whole, resumed = fit(2), fit(2, tmp_path / "one.ckpt")
    runs = [(module, t.optimizers[0]) for t, module in (whole, resumed)]
    assert_same(*runs)
    for _, optimizer in runs:
        counted = [
            value[0].item() for name, value in numbers(optimizer.state_dict()["state"]) if "events" in name
        ]
        assert counted == [10, 10]
