"""A plain diffusers program: loads a pipeline, then makes the same video each time it is given a call's arguments, and
says how long it took. What the server is measured against, on a CPU and on a GPU; it imports nothing of vidgen.
"""

import json
import os
import sys
import time

from scripts.bench.lines import answer, orders

NICENESS = 10
"""As the server's own inference process."""


def main(weights: str, image: str, size: list[int], seed: int, device: str) -> None:
    import torch
    from diffusers import StableVideoDiffusionPipeline
    from PIL import Image

    os.nice(NICENESS)
    dtype = torch.float16 if device == "cuda" else torch.float32
    pipeline = StableVideoDiffusionPipeline.from_pretrained(
        weights, variant="fp16", torch_dtype=dtype, use_safetensors=True, local_files_only=True
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    picture = Image.open(image).convert("RGB").resize(size)
    answer("ready")
    for arguments in orders():
        began = time.monotonic()
        generator = torch.Generator("cpu").manual_seed(seed)
        pipeline(picture, width=size[0], height=size[1], generator=generator, **arguments)
        answer(time.monotonic() - began)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
