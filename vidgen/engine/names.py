"""What the files of a shot are called, in its job's folder."""


def clip(shot_id: str) -> str:
    return f"{shot_id}.mp4"


def poster(shot_id: str) -> str:
    return f"{shot_id}_poster.jpg"


def keyframe(shot_id: str) -> str:
    return f"{shot_id}_keyframe.png"


def last_frame(shot_id: str) -> str:
    """In a chain, what the next shot starts from."""
    return f"{shot_id}_last.png"


def frames(shot_id: str) -> str:
    """The lossless frames, where the job keeps them."""
    return f"{shot_id}_frames.zip"
