"""Configurations of aihwkit, read as devices, algorithms and circuits of ours."""

from .converted import FromAihwkit, from_aihwkit

__all__ = ["FromAihwkit", "from_aihwkit"]
