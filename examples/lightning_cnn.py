"""Lightning on a small CNN for handwritten digits: trained by pulses, saved, and resumed exactly."""

from tempfile import TemporaryDirectory

import lightning
from torch import Tensor, nn, optim
from torch.utils.data import DataLoader, TensorDataset

import ohmgrad as og


class Digits(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        lightning.seed_everything(0)
        net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10))
        self.net = og.convert(net, og.Device(og.SoftBounds.symmetric(0.6), noise=og.Noise(0.3)))

    def training_step(self, batch: list[Tensor], _: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> optim.Optimizer:
        return og.TikiTaka(self.parameters(), lr=0.2, fast_lr=0.1, columns=4)


def main() -> float:
    data, found = og.datasets.load("digits"), []
    batches = DataLoader(TensorDataset(data.train_x, data.train_y), 16)
    with TemporaryDirectory() as folder:
        for epochs, start in ((1, None), (2, None), (2, f"{folder}/1.ckpt")):
            trainer = lightning.Trainer(max_epochs=epochs, default_root_dir=folder, logger=False)
            trainer.fit(module := Digits(), batches, ckpt_path=start)
            trainer.save_checkpoint(f"{folder}/{epochs}.ckpt")
            found.append((module.net(data.test_x).argmax(1) != data.test_y).float().mean().item())
    print(f"test errors: one epoch {found[0]:.3f}, two {found[1]:.3f}, resumed after one {found[2]:.3f}")
    return abs(found[1] - found[2]) if found[1] < 0.2 else 1.0


if __name__ == "__main__":
    main()
