"""Measured pulses as a device: files are read, families of responses fitted and ranked."""

__all__: list[str] = []
