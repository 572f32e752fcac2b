"""Settings of studies: wrong ones are refused in one line, before anything is written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from ohmgrad import InputError
from ohmgrad.studies.papers import STUDIES
from ohmgrad.studies.settings import check_settings
from ohmgrad.studies.study import run_study


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("S1", {"lrz": 1}, "unknown setting of S1 'lrz': did you mean 'lrs'"),
        ("S1", {"seeds": 1}, "seeds is 1, but must be an integer of at least 2: a single run shows nothing"),
        ("S1", {"seeds": (0, 1)}, r"seeds is \(0, 1\), but must be an integer"),
        ("S1", {"steps": True}, "steps is True, but must be an integer of at least 1"),
        ("S1", {"steps": 40.0}, "steps is 40.0"),
        ("S1", {"steps": 10}, "steps is 10, but must be at least 20"),
        ("S1", {"tau": "wide"}, "tau is 'wide', but must be a positive number"),
        ("S1", {"tau": None}, "tau is None"),
        ("S1", {"tau": True}, "tau is True"),
        ("S1", {"tau": 0}, "tau is 0, but must be a positive number"),
        ("S1", {"sigma": math.nan}, "sigma is nan"),
        ("S1", {"lrs": 0.1}, r"lrs is 0.1, but must be a list, such as \[0.2, 0.1"),
        ("S1", {"lrs": []}, r"lrs is \[\], but must be a list"),
        ("S1", {"lrs": [0.1]}, r"lrs is \[0.1\], but must have at least two values"),
        ("S1", {"lrs": [0.1, 0.10000000001]}, "its entries must all differ"),
        ("S1", {"lrs": [0.1, -0.1]}, "entry of lrs is -0.1, but must be a positive number"),
        ("S1", {"lrs": [0.1, "a"]}, "entry of lrs is 'a'"),
        ("S2", {"tail": 3000}, "tail is 3000, but must be at most steps, 2500"),
        ("S3", {"starts": [0.5]}, "starts is .* at least two"),
        ("S3", {"steps": {"tau": 50}}, "steps is .*, but must give a number for all of tau, sigma, start"),
        ("S3", {"taus": [2.0, 1.0]}, r"taus is \[2.0, 1.0\], but must be in ascending order"),
        ("S4", {"taus": [0.6]}, "taus is .*, but must give a list for one or more of fcn, cnn"),
        ("S4", {"taus": {}}, "taus is {}, but must give a list"),
        ("S4", {"taus": {"mlp": [0.6]}}, "unknown name in taus 'mlp'"),
        ("S4", {"taus": {"fcn": 0.6}}, "taus of fcn is 0.6, but must be a list"),
        ("S4", {"images": 0}, "images is 0, but must be an integer of at least 1, or null for all"),
        ("S4", {"epochs": 80}, "epochs is 80, but must give a number for all of fcn, cnn"),
        ("S4", {"seeds": 3}, "seeds is 3, but must be a list"),
        ("S4", {"seeds": [-1, 1]}, "entry of seeds is -1, but must be an integer of at least 0"),
        ("S4", {"seeds": [0.5, 1]}, "entry of seeds is 0.5, but must be an integer"),
        ("S4", {"data": 3}, "data is 3, but must be a name"),
        ("S4", {"data": "mnits"}, "unknown data set 'mnits'"),
        ("S5", {"models": ["resnet9"]}, "unknown entry of models 'resnet9': did you mean"),
        ("S5", {"models": ["resnet50"]}, "entry of models 'resnet50' is torchvision's: write torchvision:"),
        ("S5", {"lrs": {"digital": 0.1}}, "lrs is"),
        ("RL-T1", {"layers": 3}, "layers is 3, but must be a name"),
        ("S5", {"columns": 0}, "columns is 0"),
        ("S5", {"data": "cifar11"}, "unknown data set 'cifar11'"),
        ("S5", {"pretrained": "imagenets"}, "pretrained is 'imagenets', but must be 'imagenet' or a file"),
        ("RL-T1", {"datasets": ["cifar1"]}, "unknown data set 'cifar1'"),
        ("S6", {"tau": 0.6}, "tau is 0.6, but must be one of the taus of the net: 0.7"),
        ("S6", {"net": "mlp"}, "unknown net of S6 'mlp'"),
        ("RL-T5", {"sigmas": [0.1]}, r"sigmas is \[0.1\], but must have at least two values"),
        ("RL-T5", {"nets": ["fnc"]}, "unknown net 'fnc': did you mean 'fcn'"),
        ("RL-T6", {"gammas": {"linear": [1.0]}}, "unknown name in gammas 'linear'"),
        ("MT-T1", {"data": ["mnist", "cifar10"]}, "unknown entry of data 'cifar10'"),
        ("MT-T1", {"tiles": [1]}, r"tiles is \[1\], but must be 2 or more each"),
        ("MT-F7", {"tiles": [1, 2]}, r"tiles is \[1, 2\], but must be 2 or more each"),
        ("MT-F7", {"tiles": [2]}, r"tiles is \[2\], but must have at least two values"),
        ("MT-F7", {"epochs": 0}, "epochs is 0, but must be an integer of at least 1"),
        ("RL-S1", {"shifts": [0.1, 0.2]}, r"shifts is .*, but must be 0 and at least one more in \(0, 1\)"),
        ("RL-S1", {"shifts": [0]}, "shifts is"),
        ("RL-S1", {"steps": 10}, "steps is 10, but must be at least 20"),
        ("shift", {"sigmas": [-0.1]}, "entry of sigmas is -0.1, but must be a number of at least 0"),
        ("floor", {"lrs": [0.1, 0.03]}, "lrs is .*, but must have at least two values up to 0.03"),
        ("floor", {"states": [600]}, "states is .*, but must be two"),
        ("floor", {"times": {"sgd": 1.0}}, "times is .*, but must give a number for all of sgd, tiki-taka"),
        ("floor", {"times": {"sgd": 0.01, "tiki-taka": 1}}, "times of sgd is 0.01"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_written(
    name: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as found:
        run_study(STUDIES[name], tmp_path / name, quick=True, changes=changes)
    assert "\n" not in str(found.value)
    assert not any(tmp_path.iterdir())


def test_settings_keep_their_kind() -> None:
    study = STUDIES["floor"]
    assert check_settings("floor", study.settings, study.resolved(False)) == study.settings
    given = {"tau": 2, "lrs": [1, 0.01], "times": {"sgd": 3, "tiki-taka": 4}, "states": [10, 20]}
    wanted = {"tau": 2.0, "lrs": (1.0, 0.01), "times": {"sgd": 3.0, "tiki-taka": 4.0}, "states": (10, 20)}
    found = check_settings("floor", study.settings, given)
    assert repr(found) == repr(wanted)
    assert check_settings("S4", STUDIES["S4"].settings, {"images": 5}) == {"images": 5}
    assert check_settings("S4", STUDIES["S4"].settings, {"images": None}) == {"images": None}
