"""The kernels in plain PyTorch, float64: the specification that fast back ends must match.

`trains` has the equations of pulse trains, `affine` and `tables` those of the collapse, `groups` which
samples it takes together, `mean` the discrete-time dynamics, and `pulses` puts them together.
"""

__all__ = []
