"""Tables and figures."""

from .figures import device_figure, run_figure, save
from .tables import device_table, run_table, summarise, write_summary

__all__ = [
    "device_figure",
    "device_table",
    "run_figure",
    "run_table",
    "save",
    "summarise",
    "write_summary",
]
