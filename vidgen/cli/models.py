"""Models that the server knows: which can run, and what one of them takes."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidgen.cli.options import complete_model
from vidgen.cli.session import Session

if TYPE_CHECKING:
    from vidgen.client import Model

HEADER = ("MODEL", "MAKES", "CAN RUN")      # no name: 80 columns are to show why a model cannot run
PARAMETER_HEADER = ("PARAMETER", "TYPE", "DEFAULT", "TAKES", "WHAT IT IS")
RANGES = ("width", "height", "num_frames", "fps", "num_inference_steps")

One = Annotated[str | None, typer.Argument(
    metavar="[MODEL]", autocompletion=complete_model, show_default=False, help="Show this one, and what it takes"
)]
Available = Annotated[bool, typer.Option("--available", help="Only those that can run now")]


def models(session: Session, model: One = None, available: Available = False) -> None:
    """List models, or show one."""
    with session.client() as client:
        found = [client.model(model)] if model else client.models(available_only=available)
    if session.json:
        return session.result(found[0].data if model else [each.data for each in found])
    return _show(session, found[0]) if model else session.table(HEADER, map(_row, found))


def _row(model: "Model") -> tuple[object, ...]:
    state = "yes" if model.is_available else f"no: {model.unavailable_reason}"
    return model.id, _makes(model.capabilities), state


def _makes(can: dict[str, Any]) -> str:
    """Of what it makes what."""
    words = {"text": can["supports_text_to_video"], "image": can["supports_image_to_video"]}
    if sources := [name for name, able in words.items() if able]:
        return f"video of {' or '.join(sources)}"
    return "images" if can["supports_text_to_image"] else "nothing"


def _show(session: Session, model: "Model") -> None:
    session.line(f"{model.id}: {model.name}")
    session.line(model.description)
    session.line(f"makes {_makes(model.capabilities)}; {_state(model)}")
    session.line()
    rows = [(name, *_range(rule)) for name in RANGES if (rule := model.capabilities[name])]
    rows += [(f"-p {name}=", *_rule(rule)) for name, rule in model.parameters["properties"].items()]
    session.table(PARAMETER_HEADER, rows)


def _state(model: "Model") -> str:
    if not model.is_available:
        return f"cannot run now: {model.unavailable_reason}"
    return f"can run now, but {model.unavailable_reason}" if model.unavailable_reason else "can run now"


def _range(rule: dict[str, Any]) -> tuple[object, ...]:
    step = f", step {rule['step']}" if rule["step"] else ""
    return "number", rule["default"], f"{rule['min']} to {rule['max']}{step}", ""


def _rule(rule: dict[str, Any]) -> tuple[object, ...]:
    """A parameter, by its JSON Schema."""
    low, high = rule.get("minimum"), rule.get("maximum")
    takes = ", ".join(map(str, rule["enum"])) if "enum" in rule else _span(low, high)
    return rule.get("type", ""), rule.get("default", ""), takes, rule.get("description", "")


def _span(low: float | None, high: float | None) -> str:
    """Bounds, without a fraction where they have none."""
    low, high = (int(bound) if isinstance(bound, float) and bound.is_integer() else bound for bound in (low, high))
    return "" if low is None and high is None else f"{'' if low is None else low} to {'' if high is None else high}"
