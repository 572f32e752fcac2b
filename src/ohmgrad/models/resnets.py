"""A residual network for small images (He et al. 2016, 10.1109/CVPR.2016.90), as a plain torch module."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["resnet8"]


class Block(nn.Module):
    """x -> relu(branch(x) + shortcut(x)), the branch two 3 x 3 convolutions."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(inputs, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != width:
            conv = nn.Conv2d(inputs, width, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(width))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.branch(x) + self.shortcut(x))


def resnet8(channels: int, classes: int) -> nn.Module:
    """A residual network of three blocks of 16, 32 and 64 channels; no pooling before them.

    The larger ones, for larger images, are torchvision's.

    Args:
        channels: of the images; classes: outputs (logits).
    """
    stem = [nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    blocks = [Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
