"""The way to a real array and back: plain models, conductances in siemens, pulses, and read-backs."""

from ..nn.to_digital import to_digital
from .conductances import export_conductances
from .pulses import record_pulses
from .read_back import ReadBack, import_conductances

__all__ = ["ReadBack", "export_conductances", "import_conductances", "record_pulses", "to_digital"]
