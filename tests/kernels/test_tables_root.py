"""Root laws, whose slope is infinite at a bound, run from a table too."""

from __future__ import annotations

import itertools

import pytest
import torch

from ohmgrad import Device, PowStep, Pulsing, Tile
from ohmgrad.devices.table import ERROR, ERROR_AT_BOUND
from ohmgrad.kernels import FIDELITIES
from tests.kernels.test_tables import table_of


@pytest.mark.parametrize("gamma", [0.5, 0.7])
def test_an_infinite_slope_at_a_bound_is_off_there_only(gamma: float) -> None:
    response = PowStep(-0.7, 0.6, gamma, gamma)
    table = table_of(response)
    w = torch.linspace(-0.7, 0.6, 100_003, dtype=torch.float64)[1:-1]
    outer = ((w + 0.7).minimum(0.6 - w)) < 1.3 / 1024
    for down, q in enumerate((response.q_plus, response.q_minus)):
        value, _ = table.tangent(table.q, torch.tensor(0), torch.tensor(down), w)
        off = (value - q(w)).abs()
        assert ERROR < float(off[outer].max()) <= ERROR_AT_BOUND
        assert float(off[~outer].max()) <= 1.05 * ERROR


def test_elements_of_a_root_law_run_from_the_table_as_pulse_by_pulse() -> None:
    """900 pulses up from 0, to 70 % of the way to the bound; 1,900, next to it; and 2,500, at it. The
    solution of dw/dn = dw_min (1 - w)^0.5 is 1 - (1 - n dw_min/2)^2, to first order in dw_min."""
    device = Device(PowStep(gamma_up=0.5, gamma_down=0.5), 0.001)
    for pulses, fidelity in itertools.product((900, 1900, 2500), FIDELITIES):
        tile = Tile((3, 5), device, pulsing=Pulsing(fidelity, 1, False, False))
        tile.reset()
        for _ in range(pulses // 100):
            tile.pulse(torch.ones(100, 5), torch.ones(100, 3), 0.001)
        want = 1 - max(1 - pulses * 0.0005, 0) ** 2
        assert float((tile.weight - want).abs().max()) < 0.001
