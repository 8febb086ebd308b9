"""OpenAI's seconds as shots and frames of a model, and back."""

from vidgen.cards import Card
from vidgen.errors import InvalidInput
from vidgen.request import MAX_SHOTS
from vidgen.types import Job


def lengths_for(
    seconds: float, card: Card, fps: float, *, most_shots: int = MAX_SHOTS, num_frames: int | None = None
) -> dict[str, int]:
    """``max_shots`` and ``num_frames`` whose product comes nearest to *seconds* at *fps*; of equals, the fewest shots.

    :param num_frames: of each shot, where that is settled.
    :raises InvalidInput: naming ``seconds``, where *most_shots* of the longest that the model makes are not as long.
    """
    wanted, longest = seconds * fps, num_frames or int(card.frames.max)
    if wanted > most_shots * longest + 0.5:
        shots = f"{most_shots} shot{'s' * (most_shots > 1)} of {longest} frames at {fps:g} fps"
        reach = f"{card.id} makes at most {most_shots * longest / fps:.4g} s ({shots}), not {seconds:g}"
        raise InvalidInput.of("seconds", reach)
    plans = [(shots, num_frames or card.frames_for(seconds / shots, fps)) for shots in range(1, most_shots + 1)]
    shots, frames = min(plans, key=lambda plan: (abs(plan[0] * plan[1] - wanted), plan[0]))
    return {"max_shots": shots, "num_frames": frames}


def seconds_of(job: Job) -> float:
    """How long the video is: by its storyboard, or as long as it is not planned, as it was asked for."""
    if job.storyboard is not None:
        return sum(shot.num_frames for shot in job.storyboard.shots) / job.effective.fps
    usual = job.effective.num_frames / job.effective.fps
    if own := job.request.get("storyboard"):
        return sum(shot.get("duration_seconds") or usual for shot in own["shots"])
    return job.request["max_shots"] * usual
