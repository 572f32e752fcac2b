"""The door to the kernels: every operation is checked here, and a back end is chosen here and nowhere else.

A back end is a package beside this file: `reference` (plain PyTorch, the specification), `cpu` (Numba) or
`gpu` (Triton). Its files hold the operations that `OPERATIONS` names. What no back end serves raises
InputError, which says why. A card lags behind the host: of wrong values `check_status` tells there.

Operations change weights in place. Counters are int64 tensors on the weights' device: `step` (0-d) addresses
the random numbers of an update, and `events` (4,) gets pulses up, pulses down, line toggles and slots added.
No operation returns their values.

Operations that change weights take a stack, too: T independent arrays of one shape, each with its own
elements, key and learning rate, that share `step`. Tensors then have a leading axis of arrays, and an array
is to the bit what the operation does to it alone. A back end without stacks gets the arrays one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..rng import Key
from .cells import Cells
from .checks import check_counts, check_factors, check_pulsing, plain, raise_not_finite, raise_too_many, rate
from .counts import Counts, Pulses, listed
from .periphery import Periphery
from .pulsing import Pulsing
from .stacks import check_finite, check_pulsed, check_stack, check_stack_counts

__all__ = [
    "OPERATIONS", "analog_product", "apply_counts_", "apply_mean_", "check_status", "count_pulses",
    "cut_patches", "digital_gradient", "draw_trains", "fingerprint_of", "normals_", "pulsed_update_",
    "random_words", "sum_patches",
]  # fmt: skip

#: operation -> file of a back end that holds it
OPERATIONS = {
    "draw_trains": "trains",
    "pulsed_update_": "pulses",
    "apply_counts_": "pulses",
    "apply_mean_": "mean",
    "count_pulses": "counts",
    "normals_": "random",
    "random_words": "random",
    "analog_product": "products",
    "digital_gradient": "digital",
}
#: operations on stacks of affine elements that a back end has, in its file `stack`
STACKED = {"numba": ("pulsed_update_", "apply_counts_", "apply_mean_"), "reference": (), "triton": ()}


#: what the status of cells on a device that lags says
FAILURES = {
    1: "a value of x or d was not finite in an update that ran since events or a state were last asked for: "
    "the training has diverged (lower the learning rate) or the data has gaps",
    2: "pulse counts were too large in an update that ran since events or a state were last asked for: send "
    "fewer at once",
}


@cache
def _function(backend: str, operation: str, file: str = "") -> Callable[..., Any]:
    """An operation of a back end, imported when first asked for: numba takes half a second."""
    package = {"numba": "cpu", "triton": "gpu"}.get(backend, backend)
    function = getattr(import_module(f".{package}.{file or OPERATIONS[operation]}", __package__), operation)
    return _where_tensors_are(function) if backend == "triton" else function


def _where_tensors_are(function: Callable[..., Any]) -> Callable[..., Any]:
    """Launch kernels on the card that has the tensors, which need not be the current one."""

    def launched(*args: Any) -> Any:
        place = next(a.device for a in args if isinstance(a, Tensor))
        with torch.cuda.device(place) if place.type == "cuda" else nullcontext():
            return function(*args)

    return launched


def _on_whole(function: Callable[..., None], w: Tensor, cells: Cells, *rest: Any) -> None:
    """Call an operation of a back end on weights, or on a copy of a strided block of a wider matrix."""
    if w.is_contiguous():
        function(w, cells, *rest)
        return
    block = w.contiguous()  # kernels run on whole matrices: a copy costs less than an update
    function(block, cells, *rest)
    w.data.copy_(block)  # .data, as kernels do not count as writing to torch's version counters


def _stacked(operation: str, cells: Cells) -> Callable[..., None] | None:
    """What serves all arrays of a stack at once, or None."""
    serves = cells.affine and operation in STACKED[cells.backend]
    return _function(cells.backend, operation, "stack") if serves else None


def _one_by_one(
    operation: Callable[..., None], w: Tensor, cells: Cells, of_arrays: dict[str, Any], **of_all: Any
) -> None:
    """Call an operation for every array of a stack, with its part of arguments (1 or T, ...)."""
    for t in range(len(cells)):
        own = {name: part[t if len(part) > 1 else 0] for name, part in of_arrays.items() if part is not None}
        operation(w[t], cells.array(t), **own, **of_all)


def draw_trains(
    x: Tensor, d: Tensor, lr: float, cells: Cells, pulsing: Pulsing, step: Tensor
) -> tuple[Tensor, Tensor]:
    """The pulse trains of an update: 32-bit words, int64 (words, samples, cols) and (words, samples, rows).

    Slot t is bit t % 31 of word t // 31; the top bit is the sign. x-lines of a sample without a firing d-line
    are 0, as they are not driven.
    """
    x, d = check_factors(cells, x, d, lr)
    return _function(cells.backend, "draw_trains")(x, d, lr, cells, pulsing, step)


def pulsed_update_(
    w: Tensor,
    cells: Cells,
    x: Tensor,
    d: Tensor,
    lr: float | Tensor,
    pulsing: Pulsing,
    step: Tensor,
    events: Tensor,
    touched: Tensor | None = None,
) -> None:
    """Change `w` by lr sum_b d_b x_b^T in expectation and to first order, at the fidelity of `pulsing`.

    See `ohmgrad.kernels.reference` for the equations.

    Args:
        w: weights (rows, cols), float32; of a stack (T, rows, cols).
        x: (samples, cols); d: (samples, rows). Of a stack (1 or T, samples, cols) and (T, samples, rows).
        lr: learning rate, negative to descend; of a stack also float64 (T,).
        events: int64 (4,); of a stack (T, 4).
        touched: bool, of the shape of `w`, where elements that get a pulse are marked with True; at fidelity
            "mean", where there are no pulses, those for which a sample asks for a change.

    Raises:
        InputError: when shapes do not match or a value is not finite; `w` is then unchanged.
    """
    if w.dim() == 3:
        _update_stack(w, cells, x, d, lr, pulsing, step, events, touched)
        return
    lr = rate(lr)
    x, d = check_factors(cells, x, d, lr)
    check_pulsing(pulsing)
    if len(x) == 0 or lr == 0:
        return
    if pulsing.fidelity == "mean":
        apply_mean_(w, cells, x, d, lr)
        if touched is not None:
            up, down = _asked_for(x, d, lr)
            touched |= up | down
        return
    function = _function(cells.backend, "pulsed_update_")
    _on_whole(function, w, cells, x, d, lr, pulsing, step, events, touched)


def _update_stack(
    w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float | Tensor, pulsing: Pulsing, step: Tensor,
    events: Tensor, touched: Tensor | None,
) -> None:  # fmt: skip
    """`pulsed_update_` of a stack."""
    if pulsing.fidelity == "mean" and touched is None:
        apply_mean_(w, cells, x, d, lr)
        return
    x, d, rates = check_stack(w, cells, x, d, lr)
    check_pulsed(w)
    function = None if touched is not None else _stacked("pulsed_update_", cells)
    if function is not None:
        _on_whole(function, w, cells, x, d, rates, pulsing, step, events)
        return
    check_finite(x, d, rates)
    own = {"x": x, "d": d, "lr": rates.tolist(), "events": events, "touched": touched}
    _one_by_one(pulsed_update_, w, cells, own, pulsing=pulsing, step=step)


def apply_mean_(w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float | Tensor) -> None:
    """The discrete-time dynamics, sample by sample: w + dw F(w) - |dw| G(w), dw = lr d_b x_b^T, clipped.

    Wu et al. 2024, eq. 3. Arguments and errors as for `pulsed_update_`; a stack may be of float64, too, which
    then is the precision of the dynamics.
    """
    if w.dim() == 3:
        x, d, rates = check_stack(w, cells, x, d, lr)
        if w.dtype == torch.float64:
            function = _stacked("apply_mean_", cells) or _function("reference", "apply_mean_", "stack")
            _on_whole(function, w, cells, x, d, rates)
        else:
            check_finite(x, d, rates)
            _one_by_one(apply_mean_, w, cells, {"x": x, "d": d, "lr": rates.tolist()})
        return
    lr = rate(lr)
    x, d = check_factors(cells, x, d, lr)
    _check_finite_now(cells, x, d)
    _on_whole(_function(cells.backend, "apply_mean_"), w, cells, x, d, lr)


def apply_counts_(
    w: Tensor,
    cells: Cells,
    counts: Tensor,
    fidelity: str,
    step: Tensor,
    events: Tensor | None = None,
    most: int = 2**31 - 1,
) -> None:
    """Apply signed pulse counts (rows, cols), int64, to `w`; negative counts go down.

    At fidelity "mean" n pulses are the wanted change n dw_min. Counts of a stack are (1 or T, rows, cols).

    Args:
        events: pulses up and down are added to its first two.
        most: largest count, either way.

    Raises:
        InputError: when the shape or the type of the counts does not match, or a count is too large.
    """
    if w.dim() == 3:
        _apply_to_stack(w, cells, counts, fidelity, step, events, most)
        return
    check_counts(cells, counts)
    function = _function(cells.backend, "apply_counts_")
    _on_whole(function, w, cells, counts, fidelity, step, events, most)


def _apply_to_stack(
    w: Tensor, cells: Cells, counts: Tensor, fidelity: str, step: Tensor, events: Tensor | None, most: int
) -> None:
    """`apply_counts_` of a stack."""
    check_stack_counts(w, cells, counts)
    low, high = (int(end) for end in counts.aminmax())
    if low < -most or high > most:
        raise_too_many(low, high, most)
    function = _stacked("apply_counts_", cells)
    if fidelity == "mean" and w.dtype == torch.float64:  # a sample for each row
        rows = torch.eye(w.shape[1], dtype=w.dtype, device=w.device).expand(len(w), -1, -1)
        apply_mean_(w, cells, counts, rows, cells.dw_min)
    elif fidelity != "mean" and function is not None:
        check_pulsed(w)
        _on_whole(function, w, cells, counts, fidelity, step)
    else:
        _one_by_one(apply_counts_, w, cells, {"counts": counts}, fidelity=fidelity, step=step)
    if events is not None:
        events[:, 0] += counts.clamp(min=0).sum((1, 2))
        events[:, 1] -= counts.clamp(max=0).sum((1, 2))


def count_pulses(
    cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, step: Tensor, events: Tensor
) -> Counts:
    """The pulses of `pulsed_update_` with the same arguments, summed over the samples, without applying them.

    At fidelity "mean", where there are no pulses, an element counts as pulsed once in each direction in
    which a sample asks for a change. A back end that lags gives numbers for all cells.
    """
    x, d = check_factors(cells, x, d, lr)
    if not len(x) or lr == 0:
        nothing = torch.empty(0, dtype=torch.int64, device=x.device)
        return Counts(Pulses(nothing, nothing), Pulses(nothing, nothing))
    _check_finite_now(cells, x, d)
    if pulsing.fidelity == "mean":
        asked = [some.long() for some in _asked_for(x, d, lr)]
        return Counts(*(Pulses(None, some) if cells.lags else listed(some) for some in asked))
    return _function(cells.backend, "count_pulses")(cells, x, d, lr, pulsing, step, events)


def normals_(
    out: Tensor, cells: Cells, step: Tensor, purpose: int, std: float = 1.0, where: Tensor | None = None
) -> Tensor:
    """Put std times standard normal numbers into `out`, one for each cell, those of `rng.gaussians`.

    Args:
        out: float32 (rows, cols), contiguous.
        purpose: of `rng.Purpose`, which addresses them with the key of the cells and `step`.
        where: bool (rows, cols), the cells that get one; the rest stays. None for all.

    Returns:
        `out`.
    """
    _function(cells.backend, "normals_")(out, cells, step, purpose, std, where)
    return out


def random_words(cells: Cells, step: Tensor, purpose: int, marked: Tensor | None = None) -> Tensor:
    """Uniform 32-bit words, one for each cell, int64 (rows, cols): those of `rng.words`, row by row.

    Args:
        marked: bool (rows, cols), the cells that have one, which are numbered as one row; 0 elsewhere. None
            for all.
    """
    return _function(cells.backend, "random_words")(cells, step, purpose, marked)


def analog_product(
    x: Tensor, matrix: Tensor, periphery: Periphery, purpose: int, key: Key, first: Tensor, backend: str
) -> tuple[Tensor, int | Tensor]:
    """Analog products x @ matrix of many vectors, through the periphery, see `ohmgrad.kernels.periphery`.

    Args:
        x: (samples, n); matrix: (n, m).
        first: number of the first vector, int64 (0-d); vector s has the random numbers of number first + s,
            so that the split of a batch does not matter.
        backend: of the cells that hold the matrix.

    Returns:
        Outputs (samples, m), of the dtype of x; and how many vectors bound management drove again, each as
        often as it was: a number, or a tensor (0-d) where the host does not know it.
    """
    served = "reference" if backend == "numba" and x.dtype != torch.float32 else backend
    return _function(served, "analog_product")(x, matrix, periphery, purpose, key, first)


def digital_gradient(x: Tensor, d: Tensor, cells: Cells) -> Tensor:
    """g = sum_b d_b x_b^T in float32, (rows, cols), added up in the order of the samples.

    Args:
        x: (samples, cols); d: (samples, rows).
        cells: that the gradient is for; where they lag, they note a value that is not finite.

    Raises:
        InputError: when a value is not finite.
    """
    x, d = plain(x), plain(d)
    if cells.lags:
        _function(cells.backend, "check_finite", "trains")(x, d, cells)
    return _function(cells.backend, "digital_gradient")(x, d)


def cut_patches(
    x: Tensor, size: Sequence[int], stride: Sequence[int], dilation: Sequence[int], places: Sequence[int]
) -> Tensor:
    """The patches of padded images as vectors, (images times places, channels times size).

    Args:
        x: (images, channels, *sizes), of one dimension or more.
        size, stride, dilation: of a patch, by dimension.
        places: how many patches there are, by dimension.
    """
    return _patches_by(x, "cut_patches")(x, size, stride, dilation, places)


def sum_patches(
    g: Tensor, shape: Sequence[int], size: Sequence[int], stride: Sequence[int], dilation: Sequence[int],
    places: Sequence[int],
) -> Tensor:  # fmt: skip
    """Vectors of patches, as of `cut_patches`, added up where they lie, in the order of a value's offsets."""
    return _patches_by(g, "sum_patches")(g, shape, size, stride, dilation, places)


def _patches_by(x: Tensor, operation: str) -> Callable[..., Tensor]:
    """What serves patches: no elements are concerned; the place and type of the values decide."""
    served = "numba" if x.is_cpu and x.dtype == torch.float32 else "reference"
    return _function(served, operation, "patches")


def fingerprint_of(w: Tensor, every: int) -> Callable[[], int]:
    """What gives a number that changes when weights do: how a tile sees writes that nobody told torch of.

    Args:
        w: weights (rows, cols), whose memory is looked at whenever the function is called.
        every: 1 to look at all cells; n for one stretch of columns in n, other ones in every row.
    """
    return import_module(".cpu.fingerprint", __package__).fingerprint_of(w, every)


def check_status(cells: Cells) -> None:
    """Raise InputError if an operation on a device that lags was given what the host would have refused.

    Such operations, and all that follow, change nothing until this has raised the error, once.
    """
    status = cells.packed.get("status")
    if status is not None and (found := int(status)):
        status.zero_()
        raise InputError(FAILURES[found])


def _check_finite_now(cells: Cells, x: Tensor, d: Tensor) -> None:
    """Raise InputError if a value is not finite; a back end that lags looks for that itself."""
    if not cells.lags and not (torch.isfinite(x).all() and torch.isfinite(d).all()):
        raise_not_finite(x, d)


def _asked_for(x: Tensor, d: Tensor, lr: float) -> tuple[Tensor, Tensor]:
    """Where any sample asks for a change up, and where for one down: bool (rows, cols) each; lr is not 0."""
    both = [torch.zeros(d.shape[1], x.shape[1], device=x.device) for _ in range(2)]
    for a in (1, -1):  # signs of the two lines
        for b in (1, -1):
            both[(a * b * lr) < 0] += ((b * d) > 0).float().t() @ ((a * x) > 0).float()
    return both[0] > 0, both[1] > 0
