"""The job that goals are stated for: one shot of 25 frames at 1024×576 on the stub."""

FRAMES = 25
WARM_UP = 4
"""Jobs that are made before the clock runs."""

PROMPTS = (
    "A lighthouse on a cliff at dusk, waves below", "Morning mist over a forest lake, slow and quiet",
    "A city skyline at night with a rising moon", "Snow falls on a mountain village",
)
MOVES = ("static", "pan_left", "push_in", "orbit", "pull_out", "tilt_up", "pan_right", "tilt_down")


def standard(number: int) -> dict:
    """The body of the job that goals are stated for; camera moves take turns."""
    prompt = PROMPTS[number % len(PROMPTS)]
    shot = {"description": prompt, "camera_move": MOVES[number % len(MOVES)]}
    return {
        "user_prompt": prompt, "model_id": "stub:animatic", "width": 1024, "height": 576, "num_frames": FRAMES,
        "seed": number, "storyboard": {"title": "A shot", "shots": [shot]},
    }
