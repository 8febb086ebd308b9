"""A plain diffusers program: loads a pipeline, then makes the same video each time a line comes in, and says how long
it took. What the server's overhead is measured against; runs as a process of its own and imports nothing of ours.
"""

import json
import sys
import time

import torch
from diffusers import StableVideoDiffusionPipeline
from PIL import Image


def main(weights: str, image: str, size: list[int], seed: int, arguments: dict) -> None:
    pipeline = StableVideoDiffusionPipeline.from_pretrained(
        weights, variant="fp16", torch_dtype=torch.float32, use_safetensors=True, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    picture = Image.open(image).convert("RGB").resize(size)
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.monotonic()
        pipeline(
            picture, width=size[0], height=size[1], generator=torch.Generator("cpu").manual_seed(seed), **arguments
        )
        print(time.monotonic() - began, flush=True)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
