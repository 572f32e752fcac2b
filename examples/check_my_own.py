"""Is my device, or my algorithm, right? Run it through the laws that all of ohmgrad's own obey.

Here a device of two callables and an algorithm that keeps the gradient's signs only. The same from
the command line: `ohmgrad check device check_my_own.py:device`, `ohmgrad check algorithm ...:SignSGD`."""

# %%
import ohmgrad as og
from ohmgrad import conformance

device = og.Device(
    og.Custom(up=lambda w: (1 - w).clamp(min=0) ** 1.5, down=lambda w: (1 + w).clamp(min=0) ** 1.5),
    dw_min=0.01,
    noise=og.Noise(0.2),
)

# %% tags=["active-ipynb"]
# device


# %%
class SignSGD(og.AnalogOptimizer):
    """One pulse against the sign of every entry of the gradient; lr is for digital parameters only."""

    def __init__(self, params, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def analog_step(self, tile, x, d, group, state) -> None:
        tile.pulse_counts(-(d.t() @ x).sign().long())


# %%
def main() -> float:
    reports = [conformance.check_device(device), conformance.check_algorithm(SignSGD)]
    for report in reports:
        print(report)
    return float(sum(len(report.failed) for report in reports))


# %%
if __name__ == "__main__":
    main()
