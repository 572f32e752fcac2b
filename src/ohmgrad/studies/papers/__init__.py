"""The papers' studies, one file each; a new one is a file and a row here."""

from . import (
    few_states,
    floor_step_size,
    li_2025_f7,
    li_2025_t1,
    pipeline,
    shifted_point,
    wu_2024_s1,
    wu_2024_s2,
    wu_2024_s3,
    wu_2024_s4,
    wu_2024_s5,
    wu_2024_s6,
    wu_2025_f4,
    wu_2025_s1,
    wu_2025_t5,
    wu_2025_t6,
    wu_2025_tables,
)

__all__ = ["STUDIES"]

_FILES = (
    wu_2024_s1, wu_2024_s2, wu_2024_s3, wu_2024_s4, wu_2024_s5, wu_2024_s6, wu_2025_s1, wu_2025_f4,
    wu_2025_tables, wu_2025_t5, wu_2025_t6, li_2025_t1, li_2025_f7, floor_step_size, shifted_point,
    few_states, pipeline,
)  # fmt: skip
#: name -> study
STUDIES = {file.STUDY.name: file.STUDY for file in _FILES}
