"""The kernels on a card, in Triton: one source for NVIDIA and AMD; its interpreter runs them on the CPU."""

__all__ = []
