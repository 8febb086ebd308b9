"""A program that holds the device's memory but for what it is told to leave. On a CPU it holds a token of it: taking a
machine's RAM would harm whatever else runs there.

    python -m scripts.gpureport.ballast '{"device": "cuda"}'
"""

import json
import sys

from scripts.bench.lines import answer, orders

MIB = 2**20
PIECE_BYTES = 1024 * MIB
SLACK_BYTES = 32 * MIB
TOKEN_BYTES = 64 * MIB


class OnGpu:
    """Plain allocations of torch."""

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._held = [torch.zeros(1, device="cuda")]        # makes the context

    def free(self) -> int:
        return self._torch.cuda.mem_get_info()[0]

    def leave(self, wanted: int) -> None:
        piece = PIECE_BYTES
        while (more := self.free() - wanted) > SLACK_BYTES and piece >= SLACK_BYTES:
            try:
                self._held.append(self._torch.empty(min(more, piece), dtype=self._torch.uint8, device="cuda"))
            except self._torch.OutOfMemoryError:
                piece //= 2

    def release(self) -> None:
        self._held.clear()
        self._torch.cuda.empty_cache()


class OnCpu:
    def __init__(self) -> None:
        self._held = b""

    def free(self) -> int:
        from vidgen.ram import ram

        return ram().free_bytes

    def leave(self, wanted: int) -> None:
        self._held = bytes(TOKEN_BYTES)

    def release(self) -> None:
        self._held = b""


def main(device: str) -> None:
    ballast = OnCpu() if device == "cpu" else OnGpu()
    answer({"free": ballast.free()})
    for order in orders():
        if "leave" in order:
            ballast.leave(order["leave"])
        else:
            ballast.release()
        answer({"free": ballast.free()})


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
