"""The kernels in plain PyTorch, float64: the specification that fast back ends must match."""

__all__ = []
