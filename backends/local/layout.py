"""A model's weights folder in the layout of diffusers: what its index names, and what in it cannot be loaded.

Cheap, and imports nothing heavy. What it says is for people: names within the folder, never the folder's own path.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidgen.errors import StepFailed
from vidgen.weights.lock import INDEX
from vidgen.weights.plan import is_pickle

STEMS = {"diffusers": "diffusion_pytorch_model", "transformers": "model"}
"""How each library begins the names of its weights."""

VOCABULARIES = (
    ("tokenizer.json",), ("spiece.model",), ("tokenizer.model",), ("sentencepiece.bpe.model",),
    ("vocab.json", "merges.txt"), ("vocab.txt",),
)
"""The files that can hold a tokenizer's vocabulary; one group of them is enough."""

NO_VOCABULARY = ("ByT5Tokenizer",)
"""Tokenizers that need none: they count bytes."""


@dataclass(frozen=True, slots=True)
class Part:
    """One component of the pipeline."""

    name: str                               # unet, text_encoder_2, …
    library: str                            # diffusers, transformers, or a module of diffusers.pipelines
    class_name: str
    folder: Path

    def folder_problem(self) -> str | None:
        return None if self.folder.is_dir() else f"{self.name}/ is missing"

    def vocabulary_problem(self) -> str | None:
        """Why this tokenizer would know no words, which is silent otherwise; None where it does, or is none."""
        if "Tokenizer" not in self.class_name or self.class_name in NO_VOCABULARY:
            return None
        if any(all(_has_content(self.folder / name) for name in group) for group in VOCABULARIES):
            return None
        wanted = ", ".join(" with ".join(group) for group in VOCABULARIES)
        return f"{self.name}/ has no vocabulary (one of {wanted})"

    def variant(self, wanted: str | None) -> str | None:
        """The variant of this component's files: *wanted*, unless there are only files without one."""
        return None if wanted and not self._has_weights(wanted) and self._has_weights(None) else wanted

    def weights_problem(self, variant: str | None) -> str | None:
        """Which file of the weights is missing or cut short; None where all are whole."""
        if not self._has_weights(variant):
            return self._absent(self._names(variant)[0])
        return next((problem for file in self.weights(variant) if (problem := self._file_problem(file))), None)

    def weights(self, variant: str | None) -> list[Path]:
        """The files of the weights, whether they are there or not."""
        single, index = self._names(variant)
        return [single] if single.is_file() else [self.folder / name for name in _split_files(index)]

    def _names(self, variant: str | None) -> tuple[Path, Path]:
        """The weights in one file, and the index over them where they are split."""
        stem, dotted = STEMS.get(self.library, "model"), f".{variant}" if variant else ""
        single, index = f"{stem}{dotted}.safetensors", f"{stem}.safetensors.index{dotted}.json"
        return self.folder / single, self.folder / index

    def _has_weights(self, variant: str | None) -> bool:
        return any(file.is_file() for file in self._names(variant))

    def _absent(self, file: Path) -> str:
        pickle = next((found for found in sorted(self.folder.glob("*")) if is_pickle(found.name)), None)
        aside = f"; {self.name}/{pickle.name} is a pickle, and such files are never loaded" if pickle else ""
        return f"{self.name}/{file.name} is missing{aside}"

    def _file_problem(self, file: Path) -> str | None:
        if not file.is_file():
            return f"{self.name}/{file.name} is missing"
        return None if is_whole(file) else f"{self.name}/{file.name} is not whole"


@dataclass(frozen=True, slots=True)
class Layout:
    """What ``model_index.json`` says."""

    parts: tuple[Part, ...]
    absent: frozenset[str]                  # components that this release goes without
    options: Mapping[str, Any]              # what else the pipeline is made with

    def vocabulary_problem(self) -> str | None:
        return next((problem for part in self.parts if (problem := part.vocabulary_problem())), None)


def read_layout(folder: Path) -> Layout:
    """The layout of the weights in *folder*.

    :raises StepFailed: its index is missing, or is none.
    """
    try:
        index = json.loads((folder / INDEX).read_text("utf-8"))
        entries = {name: value for name, value in index.items() if not name.startswith("_")}
    except (OSError, ValueError, AttributeError):
        raise StepFailed(f"{INDEX} of the weights is missing or cannot be read", retryable=False) from None
    pairs = {name: value for name, value in entries.items() if _is_pair(value)}
    return Layout(
        parts=tuple(Part(name, *value, folder / name) for name, value in sorted(pairs.items()) if value[0]),
        absent=frozenset(name for name, value in pairs.items() if not value[0]),
        options={name: value for name, value in entries.items() if name not in pairs},
    )


def is_whole(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            size = file.stat().st_size
            header = json.loads(opened.read(length)) if 8 + length <= size else {}
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return bool(ends) and size == 8 + length + max(ends)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _split_files(index: Path) -> Iterator[str]:
    try:
        yield from sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError):
        yield index.name


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(item is None or isinstance(item, str) for item in value)


def _has_content(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0
