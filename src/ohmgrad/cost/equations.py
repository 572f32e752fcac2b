"""The equations: events times coefficients, each a function with its formula. SI units throughout."""

from __future__ import annotations

import math

from .hardware import Hardware

__all__ = [
    "arrays_for", "circuit_area", "crosspoint_area", "digital_energy", "digital_time", "line_charge",
    "memory_energy", "product_energy", "product_time", "pulse_energy", "pulse_time", "survey_adc_energy",
]  # fmt: skip


def arrays_for(hw: Hardware, rows: int, cols: int) -> int:
    """Physical arrays that a matrix takes: ceil(rows / array_rows) ceil(cols / array_cols)."""
    return math.ceil(rows / hw.array_rows) * math.ceil(cols / hw.array_cols)


# --- products and reads ---------------------------------------------------------------------------------


def product_time(hw: Hardware, vectors: float) -> float:
    """Time of products one after the other: vectors max(read_time, lines_per_adc / adc_rate).

    Integration hides the conversion of the product before (Gokmen & Vlasov 2016).
    """
    return vectors * max(hw.read_time, hw.lines_per_adc / hw.adc_rate)


def line_charge(hw: Hardware, cells: float, voltage: float) -> float:
    """Energy that charges a line past `cells` crosspoints: C' pitch cells V^2."""
    return hw.line_capacitance * hw.cell_pitch * cells * voltage**2


def product_energy(
    hw: Hardware, *, driven_cells: float, line_cells: float, inputs: float, outputs: float
) -> float:
    """Energy of products or reads.

        E = driven_cells elements G V_r^2 duty t_r        Joule heat of the elements
          + inputs (E_dac + C' pitch line_cells V_r^2)    conversions, charge of the lines
          + outputs (E_adc + P_int t_r)                   conversions, integrators

    Args:
        driven_cells: crosspoints that inputs drive, added up over vectors and over the arrays that are seen.
        line_cells: crosspoints along an input line.
        inputs, outputs: conversions, added up over vectors.
    """
    heat = driven_cells * hw.elements_per_weight * hw.conductance * hw.read_voltage**2
    heat *= hw.read_duty * hw.read_time
    entering = inputs * (hw.dac_energy + line_charge(hw, line_cells, hw.read_voltage))
    return heat + entering + outputs * (hw.adc_energy + hw.integrator_power * hw.read_time)


# --- pulses ---------------------------------------------------------------------------------------------


def pulse_time(hw: Hardware, slots: float, lines: float = 1.0) -> float:
    """Time of pulse slots: slots lines (phases t_p + verify_reads t_product).

    Args:
        slots: one after the other.
        lines: 1 where a slot serves the whole array, or one selected line; where trains are meant for all
            lines at once and the hardware writes row after row, its rows.
    """
    return slots * lines * (hw.pulse_phases * hw.pulse_width + hw.verify_reads * product_time(hw, 1))


def pulse_energy(
    hw: Hardware, rows: int, cols: int, *, pulses: float, toggles: float, slots: float, lines: float = 1.0
) -> float:
    """Energy of pulses.

        E = pulses G V_w^2 t_p                                     elements in coincidence
          + toggles n (G (V_w/2)^2 t_p + C' pitch (V_w/2)^2)       lines: elements at half the voltage, charge
          + slots lines (rows + cols) phases P_tr t_p              pulse circuits
          + slots lines verify_reads E_read                        reads of one line after each slot

    with n = (rows + cols)/2 the crosspoints along a line. An element has one of its pulses at a time, and
    its reference none.

    Args:
        pulses: on elements, of both directions.
        toggles: pulses on lines.
        slots, lines: as in `pulse_time`.
    """
    half, along = hw.write_voltage / 2, (rows + cols) / 2
    elements = pulses * hw.conductance * hw.write_voltage**2 * hw.pulse_width
    selected = toggles * (along * hw.conductance * half**2 * hw.pulse_width + line_charge(hw, along, half))
    circuits = slots * lines * (rows + cols) * hw.pulse_phases * hw.translator_power * hw.pulse_width
    reads = slots * lines * hw.verify_reads
    verify = reads * product_energy(hw, driven_cells=cols, line_cells=cols, inputs=1, outputs=cols)
    return elements + selected + circuits + verify


# --- digital --------------------------------------------------------------------------------------------


def digital_time(hw: Hardware, operations: float, arrays: int = 1) -> float:
    """Time of digital work: operations / (digital_rate arrays). Memory is hidden (Rasch et al. 2024)."""
    return operations / (hw.digital_rate * arrays)


def digital_energy(hw: Hardware, operations: float) -> float:
    """Energy of digital operations."""
    return operations * hw.digital_energy


def memory_energy(hw: Hardware, numbers: float) -> float:
    """Energy of numbers that are written to memory or read from it."""
    return numbers * hw.number_bytes * hw.memory_energy


# --- area -----------------------------------------------------------------------------------------------


def crosspoint_area(hw: Hardware, arrays: int) -> float:
    """Area of whole physical arrays: arrays elements (array_rows pitch) (array_cols pitch)."""
    return arrays * hw.elements_per_weight * hw.array_rows * hw.array_cols * hw.cell_pitch**2


def circuit_area(hw: Hardware, arrays: int, numbers: float = 0.0) -> float:
    """Area of circuits: of lines, converters (shared by both directions) and digital units; and memory."""
    converters = math.ceil(max(hw.array_rows, hw.array_cols) / hw.lines_per_adc) * hw.adc_area
    lines = (hw.array_rows + hw.array_cols) * hw.line_area
    return arrays * (converters + lines + hw.digital_area) + numbers * hw.number_bytes * hw.memory_area


# --- converters -----------------------------------------------------------------------------------------

#: envelope of Murmann's ADC Performance Survey 1997-2025 (revision of June 2025, 725 converters), as its
#: energy plot has it: the mean of the three smallest P/f_snyq, and of the three smallest P/(f_snyq 4^ENOB)
SURVEY_FLOOR, SURVEY_THERMAL = 0.2672e-12, 0.1446e-18


def survey_adc_energy(bits: float) -> float:
    """Energy of a conversion of the best converters published: 0.267 pJ + 0.145 aJ 4^ENOB; a lower bound.

    Args:
        bits: effective number of bits.
    """
    return SURVEY_FLOOR + SURVEY_THERMAL * 4**bits
