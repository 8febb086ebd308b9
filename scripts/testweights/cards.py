"""Cards for test weights: a released model's card by another name, with small sizes and the memory of a small model.

With a released model's own figures a few megabytes would be scheduled as if they were tens of gigabytes.
"""

import re
from pathlib import Path

CARDS = Path(__file__).resolve().parents[2] / "backends" / "models"
NETWORK_GB = 0.01
"""Of each network and of what it computes; test weights have a few megabytes and make small pictures."""


def small_card(of: str, name: str, provider: str = "local", keyframe_model: str | None = None) -> str:
    """The TOML of local model *of*'s card as ``provider:name``.

    :param keyframe_model: in place of the released model's, where that has one.
    """
    text = (CARDS / f"local-{of}.toml").read_text("utf-8")
    text = _set(_set(text, "name", name), "provider", provider)
    if keyframe_model is not None:
        text = _set(text, "keyframe_model", keyframe_model)
    text = re.sub(r"(?m)^vram_gb.*\n", "", text).replace("min = 256", "min = 64")
    text = re.sub(r"(?m)^(#.*\n)*\[speed\]\n(.+\n)*\n", "", text)
    card, memory = text.split("\n[backend.memory]\n")
    return f"{card}\n[backend.memory]\n{re.sub(r'= [0-9.]+', f'= {NETWORK_GB}', memory)}"


def _set(text: str, key: str, value: str) -> str:
    return re.sub(rf"(?m)^{key} = .*", f'{key} = "{value}"', text, count=1)
