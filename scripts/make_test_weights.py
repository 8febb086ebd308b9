"""Write pipelines with random values, in the layout of the released ones, for tests and for measuring.

    python scripts/make_test_weights.py --list                      every card and class there is one for
    python scripts/make_test_weights.py svd-xt sd-turbo --into weights --toys models
    python scripts/make_test_weights.py --full-size svd-xt --into weights

A NAME is a card's name or id, its file, or a pipeline class of diffusers; the folder is INTO/NAME, a card's by its name
alone. Small ones have a few megabytes and render a few frames in well under a second on a CPU. With --toys they are
models of their own, toy-NAME, whose cards go into a folder for MODELS_DIR: under the released model's name they would
be scheduled as if they needed its memory. --full-size writes the true architecture, to measure speed and memory where
the released weights can't be had. No model here is trained: what they render is noise.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:               # run as a script, only its own folder is there
    sys.path.insert(0, str(ROOT))

from scripts.testweights import cogvideox, full_size, hunyuan, ltx, stable, wan  # noqa: E402
from scripts.testweights.cards import small_card  # noqa: E402
from scripts.testweights.parts import Layout  # noqa: E402
from vidgen.cards import BrokenCard, Card, read_card  # noqa: E402

CARDS = ROOT / "backends" / "models"
NOTE = "Random values, seed {seed}, written by scripts/make_test_weights.py. Not a trained model.\n"

PIPELINES: Mapping[str, Callable[[], Layout]] = {
    "StableVideoDiffusionPipeline": stable.stable_video_diffusion,
    "StableDiffusionPipeline": stable.stable_diffusion,
    "StableDiffusionXLPipeline": stable.stable_diffusion_xl,
    "WanPipeline": wan.text_to_video,
    "WanImageToVideoPipeline": wan.image_to_video,
    "LTXPipeline": ltx.text_to_video,
    "LTXImageToVideoPipeline": ltx.image_to_video,
    "CogVideoXPipeline": cogvideox.text_to_video,
    "CogVideoXImageToVideoPipeline": cogvideox.image_to_video,
    "HunyuanVideo15Pipeline": hunyuan.text_to_video,
    "HunyuanVideo15ImageToVideoPipeline": hunyuan.image_to_video,
}

FULL_SIZE: Mapping[str, Callable[[], Layout]] = {"svd-xt": full_size.svd_xt}


def make(pipeline: str, folder: Path, seed: int = 0) -> None:
    """Write a small *pipeline* (a class of diffusers) into *folder*, in the released layout and file names.

    Weights that are released as fp16 have that variant's names: load with ``variant="fp16"``. Same seed, same bytes.

    :raises KeyError: there is no such test pipeline.
    """
    _write(PIPELINES[pipeline](), folder, seed)


def main() -> int:
    parser = _parser()
    asked = parser.parse_args()
    if asked.list:
        print("\n".join(_listed()))
        return 0
    try:
        work = dict(_work(asked.names, asked.full_size))
    except (LookupError, BrokenCard) as e:
        parser.error(str(e.args[0]))
    if not work:
        parser.error("name what to write, or ask for --list")
    if asked.toys is not None:
        work = {_write_card(name, asked.toys): layout for name, layout in work.items()}
    for name in work:
        if any((asked.into / name).glob("*")):
            parser.error(f"{asked.into / name} is not empty; remove it first")
    for name, layout in work.items():
        _write(layout, asked.into / name, asked.seed)
        print(f"{asked.into / name}: {_megabytes(asked.into / name):,.1f} MB", flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a card's name, id or file, or a pipeline class")
    parser.add_argument("--full-size", action="append", default=[], choices=FULL_SIZE, help="in its true size")
    parser.add_argument("--into", type=Path, default=Path("weights"), metavar="FOLDER", help="default: weights")
    parser.add_argument(
        "--toys", type=Path, metavar="FOLDER", help="make toys of the cards named: their cards, as toy-NAME, go there"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="list what can be written")
    return parser


def _write_card(name: str, folder: Path) -> str:
    """Write the card of the toy of a released model into *folder*; returns its name."""
    toy, drawn_by = f"toy-{name}", _card(name).keyframe_model
    keyframe_model = drawn_by and drawn_by.replace("local:", "local:toy-")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{toy}.toml").write_text(small_card(name, toy, keyframe_model=keyframe_model), "utf-8")
    return toy


def _write(layout: Layout, folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    layout.write(folder, seed)
    (folder / "README.md").write_text(NOTE.format(seed=seed), "utf-8")


def _work(names: list[str], full_size: list[str]) -> Iterator[tuple[str, Layout]]:
    """The folders to write, and what into each.

    :raises LookupError: there is no test pipeline of that name.
    :raises BrokenCard: a card cannot be read.
    """
    for name in names:
        card = None if name in PIPELINES else _card(name)
        pipeline = _pipeline_of(card) if card else name
        if pipeline not in PIPELINES:
            raise LookupError(f"there is no test pipeline for {pipeline}; --list shows what there is")
        yield card.name if card else name, PIPELINES[pipeline]()
    for name in full_size:
        yield name, FULL_SIZE[name]()


def _card(name: str) -> Card:
    if name.endswith(".toml"):
        return read_card(Path(name))
    for card in _cards():
        if name in (card.name, card.id):
            return card
    raise LookupError(f"there is no local model {name!r}; --list shows what there is")


def _cards() -> Iterator[Card]:
    for file in sorted(CARDS.glob("*.toml")):
        card = read_card(file)
        if card.provider == "local" and _pipeline_of(card):
            yield card


def _pipeline_of(card: Card) -> str | None:
    """The class whose layout the card's repository has."""
    return card.backend.get("pipeline")


def _listed() -> Iterator[str]:
    yield "cards:"
    yield from (f"  {card.name:24}{_pipeline_of(card)}" for card in _cards())
    yield "classes:"
    yield from (f"  {name}" for name in PIPELINES)
    yield "in full size:"
    yield from (f"  {name}" for name in FULL_SIZE)


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


if __name__ == "__main__":
    sys.exit(main())
