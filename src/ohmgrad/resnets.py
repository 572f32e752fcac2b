"""Residual networks for small images (He et al. 2016, 10.1109/CVPR.2016.90), as plain torch modules."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["RESNETS", "resnet"]

#: blocks of the four stages, and whether a block is a bottleneck
RESNETS: dict[str, tuple[tuple[int, ...], bool]] = {
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
    "resnet8": ((1, 1, 1), False),
}


class Block(nn.Module):
    """x -> relu(branch(x) + shortcut(x)), the branch two 3 x 3 convolutions or a bottleneck of three."""

    def __init__(self, inputs: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.outputs = 4 * width if bottleneck else width
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        sizes = (inputs, width, width, self.outputs) if bottleneck else (inputs, width, width)
        strided = 1 if bottleneck else 0  # the convolution that makes the image smaller
        layers: list[nn.Module] = []
        for i, kernel in enumerate(kernels):
            step = stride if i == strided else 1
            conv = nn.Conv2d(sizes[i], sizes[i + 1], kernel, step, kernel // 2, bias=False)
            layers += [conv, nn.BatchNorm2d(sizes[i + 1]), nn.ReLU()]
        self.branch = nn.Sequential(*layers[:-1])
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != self.outputs:
            conv = nn.Conv2d(inputs, self.outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(self.outputs))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.branch(x) + self.shortcut(x))


def resnet(name: str, channels: int, classes: int) -> nn.Module:
    """A residual network with a 3 x 3 stem and no pooling before the stages, as is usual for 32 x 32 images.

    ResNet-18, 34 and 50 have stages of 64 to 512 channels; `resnet8` is a small one for a CPU, three
    stages of one block and 16 to 64 channels.

    Args:
        name: one of `RESNETS`; channels: of the images; classes: outputs (logits).
    """
    blocks, bottleneck = RESNETS[name]
    width = 16 if name == "resnet8" else 64
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
    ]  # fmt: skip
    inputs = width
    for stage, count in enumerate(blocks):
        for i in range(count):
            block = Block(inputs, width << stage, 2 if stage and not i else 1, bottleneck)
            layers.append(block)
            inputs = block.outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))
