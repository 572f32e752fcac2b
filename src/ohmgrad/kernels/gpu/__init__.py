"""The kernels on a card, in Triton: one source for NVIDIA and AMD, checked on the CPU in Triton's interpreter."""

__all__ = []
