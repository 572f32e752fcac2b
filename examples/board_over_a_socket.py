"""A chip in the loop: Tiki-Taka trains on arrays of another process, reached over a socket that loses things.

The other process simulates a board: every command takes time, some are lost, so are some replies, now and
then the connection breaks, and weights drift with each update. The host numbers its commands and repeats a
number until the reply to it comes; the board carries each number out once, and answers a repeated one from
memory. So nothing is done twice and nothing is left out: the training is the one of a perfect link, bit for
bit. What drift did in a pause is read before the training goes on.

A board of your own is a class like `SocketBoard`, with the primitives of your hardware in place of `ask`."""

import json
import random
import socket
import subprocess
import sys
import time
from typing import Any

import torch

import ohmgrad as og

DEVICE = og.Device(og.SoftBounds.symmetric(0.6), dw_min=0.005, noise=og.Noise(0.3))


class Link:
    """The host's end. One command at a time; `ask` returns when the board has carried it out."""

    def __init__(self, port: int, timeout: float = 0.05) -> None:
        self.port, self.timeout, self.number, self.retries = port, timeout, 0, 0
        self.connect()

    def connect(self) -> None:
        self.socket, self.buffer = socket.create_connection(("127.0.0.1", self.port), timeout=5), b""
        self.socket.settimeout(self.timeout)

    def ask(self, array: int, command: str, **values):
        self.number += 1
        message = {"number": self.number, "array": array, "command": command, "values": values}
        for _ in range(200):
            try:
                self.socket.sendall(json.dumps(message).encode() + b"\n")
                while (reply := json.loads(self.line()))["number"] != self.number:
                    pass  # a late reply to a command that was repeated
                return reply["value"]
            except TimeoutError:
                self.retries += 1
            except OSError:
                self.retries += 1
                self.socket.close()
                self.connect()
        raise TimeoutError(f"the board does not answer {command}")

    def line(self) -> bytes:
        while b"\n" not in self.buffer:
            if not (part := self.socket.recv(65536)):
                raise ConnectionResetError
            self.buffer += part
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line


class SocketBoard:
    """One array of the board: the interface of `ohmgrad.Board`, each primitive one command."""

    def __init__(self, link: Link, place: og.Place) -> None:
        self.link, self.array, self.shape = link, place.array, place.shape
        self.ask("open", shape=place.shape)

    def ask(self, command: str, **values):
        return self.link.ask(self.array, command, **values)

    def pulse(self, x, d, lr, pulsing):
        return self.ask("pulse", x=x.tolist(), d=d.tolist(), lr=lr)

    def pulse_counts(self, n):
        self.ask("pulse_counts", n=n.tolist())

    def program(self, target, rounds):
        return torch.tensor(self.ask("program", target=target.tolist(), rounds=rounds))

    def read(self, columns, repeats):
        return torch.tensor(self.ask("read", columns=list(columns), repeats=repeats))

    def forward(self, x):
        return torch.tensor(self.ask("forward", x=x.tolist())).view(len(x), self.shape[0])

    def backward(self, d):
        return torch.tensor(self.ask("backward", d=d.tolist())).view(len(d), self.shape[1])


class Chip:
    """The board's end: simulated arrays whose weights drift by 10^-5 of themselves with each update."""

    def __init__(self) -> None:
        self.arrays: dict[int, og.SimulatedBoard] = {}

    def do(self, array: int, command: str, values: dict):
        if command == "open":
            tile = og.Tile(tuple(values["shape"]), DEVICE, array=array, backend="reference")
            return self.arrays.setdefault(array, og.SimulatedBoard(tile)) and None
        if command == "pause":
            for board in self.arrays.values():
                board.tile.weight.mul_(0.9)
            return None
        tensors: dict[str, Any] = {
            k: torch.tensor(v) if isinstance(v, list) and k != "columns" else v for k, v in values.items()
        }
        board = self.arrays[array]
        if command == "pulse":
            board.tile.weight.mul_(1 - 1e-5)
            return board.pulse(pulsing=og.Pulsing(), **tensors)
        value = getattr(board, command)(**tensors)
        return value.tolist() if value is not None else None


def serve(loss: float, latency: float) -> None:
    """Carry commands out, each number once; lose a share `loss` of commands, and as many replies."""
    listener, chip, fate, last = socket.create_server(("127.0.0.1", 0)), Chip(), random.Random(0), {}
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("r") as wire:
            for line in wire:
                time.sleep(latency)
                if fate.random() < loss:
                    continue  # the command was lost
                message = json.loads(line)
                number = message.pop("number")
                if number != last.get("number"):
                    last = {"number": number, "value": chip.do(**message)}
                if fate.random() < loss:
                    continue  # its reply was lost
                if fate.random() < loss / 4:
                    break  # the connection was
                connection.sendall(json.dumps(last).encode() + b"\n")


def train(link, steps: int) -> tuple[float, dict]:
    """Train a layer on boards behind a link: the loss at the end, and the state of the model."""
    torch.manual_seed(0)
    model = og.convert(torch.nn.Linear(6, 3, bias=False), DEVICE)
    og.on_boards(model, lambda place: SocketBoard(link, place))
    optimizer = og.TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1)
    truth, loss = torch.rand(3, 6) * 0.6 - 0.3, torch.zeros(())
    for step in range(steps):
        x = torch.randn(8, 6)
        loss = (model(x) - x @ truth.t()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == steps // 2:  # a state is what the arrays hold now; before and after a pause
            before = model.state_dict()["weight"].clone()
            link.ask(0, "pause")
            drift = (model.state_dict()["weight"] - before).abs().max()
            print(f"read again after a pause: weights drifted by up to {drift:.3f}")
    return loss.item(), model.state_dict()


def train_over_a_socket(loss: float, steps: int) -> tuple[float, dict, int]:
    """As `train`, on a process of its own, which loses messages; and how often commands were repeated."""
    program = [sys.executable, __file__, str(loss), "0.0002"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as board:
        try:
            assert board.stdout is not None
            link = Link(int(board.stdout.readline()))
            return *train(link, steps), link.retries
        finally:
            board.kill()


def main() -> float:
    loss, state, retries = train_over_a_socket(loss=0.03, steps=100)
    print(f"loss {loss:.4f}; {retries} commands were repeated; row 0: {state['weight'][0].tolist()}")
    return loss


if __name__ == "__main__":
    if len(sys.argv) == 3:
        serve(float(sys.argv[1]), float(sys.argv[2]))
    else:
        main()
