"""The kernels on the CPU, in Numba."""

__all__ = []
