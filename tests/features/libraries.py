"""Libraries that own the loop."""

from __future__ import annotations

import logging
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from ohmgrad import AnalogSGD, to_digital

from . import Group, X, Y, beside_torch, ideal, loss_of, mlp, same, step, trained

group = Group("Libraries")


class Named(Dataset[dict[str, Tensor]]):
    """Samples as the Trainer takes them."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> dict[str, Tensor]:
        return {"x": X[i], "labels": Y[i]}


class WithLoss(nn.Module):
    """A model that gives its loss."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        y = self.net(x)
        return {"loss": nn.functional.cross_entropy(y, labels), "logits": y}


def trainer(model: nn.Module, optimizer: Any, folder: str, **settings: Any) -> Any:
    """Hugging Face's Trainer."""
    transformers: Any = pytest.importorskip("transformers")  # which not everyone has
    pytest.importorskip("accelerate")  # which not everyone has
    arguments = transformers.TrainingArguments(
        output_dir=folder, max_steps=4, per_device_train_batch_size=4, report_to=[], use_cpu=True,
        disable_tqdm=True, logging_steps=1, **{"save_strategy": "no", **settings},
    )  # fmt: skip
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0) if optimizer else None
    return transformers.Trainer(
        model=WithLoss(model), args=arguments, train_dataset=Named(), optimizers=(optimizer, constant)
    )


def logged(made: Any) -> list[tuple[float, float]]:
    return [(e["loss"], float(e["grad_norm"])) for e in made.state.log_history if "loss" in e]


@group.works("Hugging Face's `Trainer` with `optimizers=(...)`: clipping, accumulation, schedules")
def hugging_face() -> None:
    for settings in ({"max_grad_norm": 0.1}, {"gradient_accumulation_steps": 2}):

        def train(model: Any, sgd: Any, settings: Any = settings) -> Any:
            with TemporaryDirectory() as folder:
                made = trainer(model, sgd(model.parameters()), folder, **settings)
                made.train()
            return logged(made)

        beside_torch(train)


@group.works("Hugging Face's `Trainer` with its own AdamW", "it trains digitally, with the warning")
def hugging_face_adamw() -> None:
    found = []
    for model in (mlp(), ideal(mlp())):
        with TemporaryDirectory() as folder:
            made = trainer(model, None, folder, learning_rate=0.01)
            if found:
                with pytest.warns(UserWarning, match="trains analog weights digitally, without pulses"):
                    made.train()
            else:
                made.train()
        found.append(logged(made))
    same(found[1], found[0])


@group.works("Hugging Face's accelerate: `prepare`, `accumulate`, `clip_grad_norm_`")
def accelerated() -> None:
    accelerate: Any = pytest.importorskip("accelerate")  # which not everyone has

    def train(model: Any, sgd: Any) -> list[float]:
        accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
        optimizer = sgd(model.parameters())
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        batches = DataLoader(TensorDataset(X, Y), 2)
        model, optimizer, batches, scheduler = accelerator.prepare(model, optimizer, batches, scheduler)
        losses = []
        for x, y in batches:
            with accelerator.accumulate(model):
                loss = loss_of(model, x, y)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 0.1)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
                losses.append(loss.item())
        return losses

    beside_torch(train)


@group.works(
    'peft: LoRA beside frozen analog weights, `convert(get_peft_model(model, config), exclude=["*lora_*"])`',
    "an optimizer moves the adapters alone, and no pulse is sent; merge `to_digital(model)`, as peft would "
    "write the sum into the array",
)
def adapters() -> None:
    peft: Any = pytest.importorskip("peft", reason="peft is not installed")

    def train(model: Any) -> tuple[list[float], Tensor]:
        optimizer = torch.optim.AdamW(trained(model), lr=0.1)
        losses = [step(model, optimizer) for _ in range(4)]
        return losses, to_digital(model).merge_and_unload()(X)  # pyright: ignore

    found = []
    for convert in (lambda model: model, lambda model: ideal(model, exclude=["*lora_*"])):
        model = mlp()
        config = peft.LoraConfig(r=2, target_modules=["0", "2"])
        found.append(train(convert(peft.get_peft_model(model, config))))
    same(found[1], found[0])


@group.refused(
    "peft: LoRA on `nn.MultiheadAttention`",
    "a weight of layer 'base_model.model.0.base_layer' is not a parameter but computed from others: ...",
)
def adapted_attention() -> None:
    peft: Any = pytest.importorskip("peft", reason="peft is not installed")
    model = nn.Sequential(nn.MultiheadAttention(4, 2))
    ideal(peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["0"])), exclude=["*lora_*"])


def lightning_fit(model: Any, make: Any, **settings: Any) -> Any:
    lightning: Any = pytest.importorskip("lightning")  # which not everyone has
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.losses = model, []

        def training_step(self, batch: Any, number: int) -> Any:
            loss = loss_of(self.net, *batch)
            self.losses.append(loss.item())
            return loss

        def configure_optimizers(self) -> Any:
            optimizer = make(self.parameters())
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]

    module = Module()
    path = settings.pop("ckpt_path", None)
    fitted = lightning.Trainer(
        **{"max_epochs": 2, **settings}, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    fitted.fit(module, DataLoader(TensorDataset(X, Y), 4), ckpt_path=path)
    module.fitted = fitted
    return module


@group.works("Lightning: `Trainer.fit` with `gradient_clip_val`, `accumulate_grad_batches`, schedulers")
def lightning() -> None:
    for settings in ({"gradient_clip_val": 0.1}, {"accumulate_grad_batches": 2}):

        def train(model: Any, sgd: Any, settings: Any = settings) -> Any:
            return lightning_fit(model, sgd, **settings).losses

        beside_torch(train)


@group.refused(
    'Lightning with `precision="bf16-true"` or `"16-true"`',
    "input is torch.bfloat16, but crossbars compute in torch.float32: keep model and input in float32, and "
    "use torch.autocast for mixed precision",
)
def lightning_true() -> None:
    lightning_fit(ideal(mlp()), lambda p: AnalogSGD(p, lr=0.1), precision="bf16-true")


@group.works("TensorBoard: histograms of weights and gradients, then the step")
def tensorboard() -> None:
    boards: Any = pytest.importorskip("torch.utils.tensorboard")  # which not everyone has

    def train(model: Any, sgd: Any) -> None:
        optimizer = sgd(model.parameters())
        loss_of(model).backward()
        with TemporaryDirectory() as folder, boards.SummaryWriter(folder) as writer:
            for i, p in enumerate(trained(model)):
                writer.add_histogram(f"weight {i}", p)
                writer.add_histogram(f"gradient {i}", p.grad)
        optimizer.step()

    beside_torch(train)
