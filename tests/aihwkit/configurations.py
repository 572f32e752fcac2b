"""aihwkit's presets and examples as texts, from their public definitions (1.1: simulator/presets, examples).

Each text is the constructor call that a script would make, with the arguments that the definition sets. What
a definition leaves to a class's defaults is left out here as well. Where an example sets fields one by one,
they stand as arguments. `build_config` is written out with the settings that it documents for each algorithm.
"""

from __future__ import annotations

__all__ = ["EXAMPLES", "PRESETS"]

_IO = "forward=PresetIOParameters(), backward=PresetIOParameters()"
_UNMANAGED = (
    "PresetIOParameters(noise_management=NoiseManagementType.NONE, bound_management=BoundManagementType.NONE)"
)
_ONE = "PresetUpdateParameters(desired_bl=1, update_bl_management=False, update_management=False)"
#: preset -> of its TTv2, c-TTv2 and AGAD: fast_lr, auto_granularity, chop probabilities, tail, BL of updates
_BUFFERED = {
    "ReRamES": (0.5, 1000, 0.01, 0.02, 5.0, (31, 31)),
    "ReRamSB": (0.5, 1000, 0.01, 0.02, 5.0, (31, 31)),
    "Capacitor": (0.1, 1000, 0.01, 0.01, 20.0, (31, 31)),
    "EcRam": (0.1, 500, 0.01, 0.005, 50.0, (100, 31)),
    "EcRamMO": (0.1, 500, 0.001, 0.005, 50.0, (100, 100)),
    "Idealized": (0.1, 500, 0.001, 0.005, 50.0, (100, 100)),
}


def _element(name: str, referenced: bool = False) -> str:
    """An element; transfers have those of ReRamSB subtract their symmetric point."""
    return f"{name}PresetDevice({'subtract_symmetry_point=True' if referenced and name == 'ReRamSB' else ''})"


def _single(device: str) -> str:
    return f"SingleRPUConfig(device={device}, {_IO}, update=PresetUpdateParameters())"


def _cells(device: str, count: int) -> str:
    policy = "update_policy=VectorUnitCellUpdatePolicy.SINGLE_RANDOM"
    cell = f"VectorUnitCell(unit_cell_devices=[{', '.join([device] * count)}], {policy})"
    return f"UnitCellRPUConfig(device={cell}, {_IO}, update=PresetUpdateParameters())"


def _transfers(kind: str, name: str, update: str, bl: int, settings: str) -> str:
    device = _element(name, referenced=True)
    parts = f"unit_cell_devices=[{device}, {device}], transfer_forward={_UNMANAGED}, transfer_update={update}"
    return (
        f"UnitCellRPUConfig(device={kind}({parts}, {settings}), {_IO}, "
        f"update=PresetUpdateParameters(desired_bl={bl}))"
    )


def _presets() -> dict[str, str]:
    found = {f"{name}Preset": _single(_element(name)) for name in (*_BUFFERED, "GokmenVlasov")}
    found["PCMPreset"] = (
        f"UnitCellRPUConfig(device=PCMPresetUnitCell(), {_IO}, update=PresetUpdateParameters())"
    )
    for name, (fast, states, chop, agad_chop, tail, bl) in _BUFFERED.items():
        for count in (2, 4):
            found[f"{name}{count}Preset"] = _cells(_element(name), count)
        plain = "units_in_mbatch=True"
        found[f"TikiTaka{name}Preset"] = _transfers(
            "TransferCompound", name, "PresetUpdateParameters()", 31, plain
        )
        shared = f"units_in_mbatch=False, auto_scale=True, auto_granularity={states}"
        for prefix, prob in (("TTv2", 0.0), ("ChoppedTTv2", chop)):
            # that of c-TTv2 on EcRam leaves fast_lr to the class
            rate = "" if (prefix, name) == ("ChoppedTTv2", "EcRam") else f", fast_lr={fast}"
            found[f"{prefix}{name}Preset"] = _transfers(
                "ChoppedTransferCompound", name, _ONE, bl[0], f"in_chop_prob={prob}, {shared}{rate}"
            )
        agad_states = 750 if name == "EcRam" else states
        found[f"AGAD{name}Preset"] = _transfers(
            "DynamicTransferCompound", name, _ONE, bl[1],
            f"fast_lr={fast}, auto_granularity={agad_states}, tail_weightening={tail}, "
            f"in_chop_prob={agad_chop}, auto_scale=True",
        )  # fmt: skip
    for device in (*map(_element, (*_BUFFERED, "GokmenVlasov")), "PCMPresetUnitCell()"):
        name = device.partition("Preset")[0]
        found[f"MixedPrecision{name}Preset"] = (
            f"DigitalRankUpdateRPUConfig(device=MixedPrecisionCompound(device={device}), {_IO}, "
            "update=PresetUpdateParameters())"
        )
    # hardware-aware training: the first has a perfect forward pass, the second the circuits of a PCM chip
    found["FloatingPointPreset"] = "InferenceRPUConfig(forward=IOParameters(is_perfect=True))"
    found["StandardHWATrainingPreset"] = (
        "InferenceRPUConfig(forward=IOParameters(w_noise=0.0175, w_noise_type=WeightNoiseType.PCM_READ, "
        "noise_management=NoiseManagementType.CONSTANT, nm_thres=1.0, ir_drop=1.0))"
    )
    return found


#: all 54 preset configurations
PRESETS = _presets()

_LSTM_IO = "IOParameters(out_res=1 / (2**9 - 2), inp_res=1 / (2**7 - 2), out_scale=2 / 0.6)"
_LSTM = (
    "update=UpdateParameters(desired_bl=10), "
    "mapping=MappingParameter(digital_bias=True, max_input_size=0, max_output_size=0)"
)
_CORRELATION = (
    "SoftBoundsReferenceDevice(dw_min=0.1, w_min=-1.0, w_max=1.0, up_down_dtod=0.0, dw_min_dtod=0.0, "
    "dw_min_std=0.0, dw_min_dtod_log_normal=True, mult_noise=False, subtract_symmetry_point=True)"
)
_STANDARD = "StandardIOParameters()"
_PLAIN = "SingleRPUConfig(device=ConstantStepDevice())"

#: examples by their numbers -> a configuration of theirs; several that are alike share one
EXAMPLES = {
    "01, 02, 03, 13, 14, 19": _PLAIN,
    "04": "UnitCellRPUConfig(device=DynamicTransferCompound(unit_cell_devices=[SoftBoundsReferenceDevice("
    "dw_min=0.05), SoftBoundsReferenceDevice(dw_min=0.05)], transfer_update=UpdateParameters(desired_bl=1), "
    "auto_scale=True, fast_lr=0.1, units_in_mbatch=False), update=UpdateParameters(desired_bl=5))",
    "05, 06, 20, 24, 25, 27, 28, 30, 31, 32, 33, 34, 35, 36": "InferenceRPUConfig("
    "modifier=WeightModifierParameter(type=WeightModifierType.ADD_NORMAL, std_dev=0.1))",
    "07": "UnitCellRPUConfig(device=VectorUnitCell(unit_cell_devices=[ConstantStepDevice(w_max=0.3), "
    "ConstantStepDevice(w_max_dtod=0.4), ConstantStepDevice(up_down_dtod=0.1)], "
    "update_policy=VectorUnitCellUpdatePolicy.SINGLE_RANDOM))",
    "08": "UnitCellRPUConfig(forward=IOParameters(inp_res=1 / (2**6 - 2)), backward=IOParameters("
    "inp_res=1 / (2**6 - 2)), device=TransferCompound(unit_cell_devices=[SoftBoundsDevice(w_min=-0.3, "
    "w_max=0.3), SoftBoundsDevice(w_min=-0.6, w_max=0.6)], units_in_mbatch=True, transfer_every=2, "
    "n_reads_per_transfer=1, gamma=0.0, scale_transfer_lr=True, transfer_lr=1.0, fast_lr=0.1, "
    "transfer_columns=True, transfer_forward=IOParameters(inp_res=1 / (2**6 - 2))))",
    "09": "SingleRPUConfig(device=ConstantStepDevice(), update=UpdateParameters(desired_bl=10, "
    "pulse_type=PulseType.DETERMINISTIC_IMPLICIT, d_res_implicit=0.1, x_res_implicit=0.1))",
    "10": PRESETS["IdealizedPreset"],  # and ReRamES, ReRamSB, Capacitor, EcRam, EcRamMO, PCM: see the presets
    "11": "SingleRPUConfig(device=GokmenVlasovPresetDevice(), mapping=MappingParameter("
    f"weight_scaling_omega=0.6), {_IO}, update=PresetUpdateParameters())",
    "12": "DigitalRankUpdateRPUConfig(device=MixedPrecisionCompound(device=SoftBoundsDevice()))",
    "15": PRESETS["GokmenVlasovPreset"],
    "16": PRESETS["MixedPrecisionEcRamMOPreset"][:-1]
    + ", mapping=MappingParameter(weight_scaling_omega=0.8))",
    "17": PRESETS["TikiTakaReRamSBPreset"][:-1] + ", mapping=MappingParameter(weight_scaling_omega=0.6))",
    "18": PRESETS["TikiTakaEcRamPreset"][:-1] + ", mapping=MappingParameter(weight_scaling_omega=0.6))",
    "21": "SingleRPUConfig(device=PiecewiseStepDevice(w_min=-1, w_max=1, w_min_dtod=0.0, w_max_dtod=0.0, "
    "dw_min_std=0.0, dw_min_dtod=0.0, up_down_dtod=0.0, dw_min=0.01, up_down=0.1, write_noise_std=2.0, "
    "piecewise_up=[1.5, 1, 0.4], piecewise_down=[0.4, 1, 1.5]))",
    "22": f"SingleRPUConfig(device=SoftBoundsDevice(), {_LSTM}, forward={_LSTM_IO}, backward={_LSTM_IO})",
    "23, 29": PRESETS["ReRamSBPreset"],
    "26": f"UnitCellRPUConfig(forward={_STANDARD}, backward={_STANDARD}, device=ChoppedTransferCompound("
    f"unit_cell_devices=[{_CORRELATION}, {_CORRELATION}], transfer_forward=StandardIOParameters("
    "noise_management=NoiseManagementType.NONE, bound_management=BoundManagementType.NONE), "
    "in_chop_prob=0.0, units_in_mbatch=False, transfer_every=1, auto_granularity=200, auto_scale=True, "
    "in_chop_random=False), update=UpdateParameters(desired_bl=5))",
}
