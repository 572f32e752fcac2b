"""Texts, the small GPT and its example: splits, minibatches, causality, conversion, training by pulses."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import AnalogSGD, Device, InputError, SoftBounds, TikiTaka, convert
from ohmgrad.datasets import text
from ohmgrad.devices.presets import preset
from ohmgrad.models import gpt
from ohmgrad.nn import analog_layers
from tests.stats import Z, bonferroni, z_share

LINES = "".join(f"{i} and {i + 1} are {2 * i + 1}.\n" for i in range(200))
EXAMPLE = Path(__file__).parents[2] / "examples" / "train_gpt.py"


def example() -> Any:
    spec = importlib.util.spec_from_file_location("train_gpt", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# --- texts ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.environ.get("OHMGRAD_DATA"), reason="needs the real file in OHMGRAD_DATA")
def test_real_shakespeare() -> None:
    shakespeare = text.load()
    assert len(shakespeare.vocabulary) == 65
    assert shakespeare.vocabulary[:6] == "\n !$&'"
    assert (len(shakespeare.train), len(shakespeare.test)) == (1003854, 111540)
    assert shakespeare.train.dtype == torch.int64
    assert shakespeare.decode(shakespeare.train[:14]) == "First Citizen:"
    assert shakespeare.decode(shakespeare.test[-10:]) == "t waking.\n"


def test_a_text_is_split_and_comes_back() -> None:
    own = text.characters(LINES)
    assert own.decode(torch.cat([own.train, own.test])) == LINES
    assert len(own.train) == len(LINES) * 9 // 10
    assert own.vocabulary == "".join(sorted(set(LINES)))
    assert own.decode(own.encode("12 and")) == "12 and"
    with pytest.raises(InputError, match="'Q' is not in the text own text: use '"):
        own.encode("12 Q")
    with pytest.raises(InputError, match="the text has 3 characters, but needs at least 10"):
        text.characters("abc")


@pytest.mark.parametrize("place", ["shakespeare/input.txt", "input.txt", "shakespeare/input.txt.gz"])
def test_files_are_found_and_checked(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = LINES.encode()
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(raw) if place.endswith(".gz") else raw)
    with pytest.raises(InputError, match=r"input.txt.* has sha256 .*, but tiny Shakespeare has 86c4e6aa9db7"):
        text.load(root=tmp_path)
    monkeypatch.setattr(text, "SHAKESPEARE", hashlib.sha256(raw).hexdigest())
    monkeypatch.setenv("OHMGRAD_DATA", str(tmp_path))
    for found in (text.load(), text.load("shakespeare", root=tmp_path)):
        assert found.decode(found.train) == LINES[: len(LINES) * 9 // 10]
    with pytest.raises(InputError, match=r"unknown text 'shakespear': did you mean 'shakespeare'\?"):
        text.load("shakespear")
    path.unlink()
    with pytest.raises(InputError, match=r"has no input.txt \(plain, .gz or .xz, in shakespeare or"):
        text.load()


def test_windows_begin_anywhere_and_depend_on_seed_and_step_only() -> None:
    numbers = torch.arange(100)
    x, y = text.windows(numbers, 8, 5, seed=1, step=2)
    assert x.shape == y.shape == (5, 8)
    assert torch.equal(y, x + 1)
    assert torch.equal(x, x[:, :1] + torch.arange(8))
    assert torch.equal(x, text.windows(numbers, 8, 5, seed=1, step=2)[0])
    others = [text.windows(numbers, 8, 5, seed=s, step=t)[0] for s, t in ((1, 3), (2, 2))]
    assert not any(torch.equal(x, other) for other in others)
    # each of the 4 places as often as the next: binomial, n = 20,000, p = 1/4
    starts = text.windows(numbers[:12], 8, 20000, seed=3, step=0)[0][:, 0]
    counts = starts.bincount()
    assert len(counts) == 4
    assert abs(z_share(counts.numpy(), 20000, 0.25)).max() < max(Z, bonferroni(4))
    for wrong, message in (
        ({"length": 100}, "length is 100, but must be below the text's 100 characters"),
        ({"size": 0}, r"size is 0, but must be an integer in \[1, 2\^32\)"),
        ({"step": -1}, "step is -1"),
        ({"seed": 2**32}, "seed is 4294967296"),
    ):
        with pytest.raises(InputError, match=message):
            text.windows(numbers, **{"length": 8, "size": 5, "seed": 0, "step": 0, **wrong})


# --- the model -----------------------------------------------------------------------------------


def small(seed: int = 0) -> gpt.GPT:
    return gpt.GPT(20, context=12, width=16, layers=2, heads=2, seed=seed)


def test_it_looks_back_only_and_knows_places() -> None:
    model = small()
    x = torch.arange(12).view(1, 12)
    later = x.clone()
    later[0, 7:] = 3
    y = model(x)
    assert y.shape == (1, 12, 20)
    torch.testing.assert_close(model(later)[0, :7], y[0, :7])
    torch.testing.assert_close(model(x[:, :5])[0], y[0, :5])
    assert bool((model(later)[0, 7:] != y[0, 7:]).all())
    same = model(torch.zeros(1, 3, dtype=torch.int64))[0]
    assert not torch.allclose(same[0], same[1])


def test_seeds_and_refusals() -> None:
    state = torch.get_rng_state()
    a, b, c = small(1), small(1), small(2)
    assert torch.equal(state, torch.get_rng_state())
    pairs = list(zip(a.parameters(), b.parameters(), c.parameters(), strict=True))
    assert all(torch.equal(p, q) for p, q, _ in pairs)
    assert not torch.equal(pairs[0][0], pairs[0][2])
    with pytest.raises(InputError, match="width is 10, but must be a multiple of heads, 4"):
        gpt.GPT(20, width=10)
    for shape in ((1, 13), (1, 0), (4,)):
        with pytest.raises(InputError, match=r"this model needs \(N, 1 to 12\)"):
            a(torch.zeros(shape, dtype=torch.int64))


def test_bits_of_an_even_guess() -> None:
    """log2 of the number of characters."""
    model = small()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
    x = torch.arange(12).view(1, 12)
    assert gpt.bits(model, x, x).item() == pytest.approx(math.log2(20), abs=1e-5)


def test_samples_follow_the_probabilities() -> None:
    """Logits that do not depend on the text: 3 characters with 0.5, 0.3 and 0.2, the others never."""
    model, chances = small(), torch.tensor([0.5, 0.3, 0.2])
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.fill_(-math.inf)
        model.head.bias[3:6] = chances.log()
    start, count = torch.tensor([1, 2]), 1000
    drawn = gpt.sample(model, start, count, seed=5)
    assert torch.equal(drawn, gpt.sample(model, start, count, seed=5))
    assert not torch.equal(drawn, gpt.sample(model, start, count, seed=6))
    assert drawn.shape == (2 + count,)
    assert torch.equal(drawn[:2], start)
    counts = drawn[2:].bincount(minlength=20)
    assert int(counts[3:6].sum()) == count
    assert abs(z_share(counts[3:6].numpy(), count, chances.numpy())).max() < max(Z, bonferroni(3))
    assert torch.equal(gpt.sample(model, start, 0), start)


def test_conversion_takes_projections_and_mlps_and_keeps_the_function() -> None:
    model = small()
    twin = convert(model, Device(SoftBounds.symmetric(0.6)), include=["blocks.*"])
    parts = ("qkv", "out", "mlp.0", "mlp.2")
    assert [n for n, _ in analog_layers(twin)] == [f"blocks.{i}.{p}" for i in range(2) for p in parts]
    x = torch.arange(12).view(1, 12)
    torch.testing.assert_close(twin(x), model(x), atol=1e-5, rtol=1e-5)


def loss_after(make: Any, steps: int) -> tuple[float, float]:
    """Bits per character before and after training the blocks alone, all else frozen."""
    own = text.characters(LINES)
    model: nn.Module = gpt.GPT(len(own.vocabulary), context=16, width=16, layers=1, heads=2)
    model = convert(model, preset("paper"), include=["blocks.*"])
    weights = [layer.weight for _, layer in analog_layers(model)]
    optimizer, losses = make(weights), list[Tensor]()
    for step in range(steps):
        x, y = text.windows(own.train, 16, 8, seed=0, step=step)
        optimizer.zero_grad()
        loss = gpt.bits(model, x, y)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    values = torch.stack(losses)
    return values[:10].mean().item(), values[-10:].mean().item()


@pytest.mark.parametrize(
    "make",
    [lambda p: AnalogSGD(p, lr=0.3),
     lambda p: TikiTaka(p, lr=0.3, fast_lr=0.3, transfer_lr=1.0, columns=4)],
    ids=["sgd", "tiki-taka"],
)  # fmt: skip
def test_pulses_alone_train_the_blocks(make: Any) -> None:
    before, after = loss_after(make, 100)
    assert after < before - 0.5


@pytest.mark.parametrize("algorithm", ["adam", "digital", "sgd", "tiki-taka"])
def test_the_example_runs(
    algorithm: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 64
    monkeypatch.setattr(text, "load", lambda name: text.characters(LINES))
    end = example().main(["--algorithm", algorithm, "--steps", "6", "--report", "3"])
    out = capsys.readouterr().out
    reported = [float(line.split()[3]) for line in out.splitlines() if "validation" in line]
    assert len(reported) == 3
    assert reported[-1] == pytest.approx(end, abs=1e-3)
    assert end < reported[0] - 0.1
