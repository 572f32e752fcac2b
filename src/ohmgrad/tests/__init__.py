"""Whether an installation works on this machine: `pytest --pyargs ohmgrad`."""

__all__ = []
