"""Where the camera stands at each frame of a move. Knows nothing of what it looks at."""

from dataclasses import dataclass

from vidgen.types import CameraMove

PIVOT = 0.75                            # the depth that an orbit turns about
TRAVEL = {                              # at motion_bucket_id 127, in parts of the frame's width or height
    CameraMove.STATIC: 0.006, CameraMove.PAN_LEFT: 0.34, CameraMove.PAN_RIGHT: 0.34, CameraMove.TILT_UP: 0.26,
    CameraMove.TILT_DOWN: 0.26, CameraMove.PUSH_IN: 0.3, CameraMove.PULL_OUT: 0.3, CameraMove.ORBIT: 0.24,
}
HORIZONTAL = {CameraMove.STATIC: 1, CameraMove.PAN_LEFT: -1, CameraMove.PAN_RIGHT: 1, CameraMove.ORBIT: 1}
VERTICAL = {CameraMove.TILT_UP: -1, CameraMove.TILT_DOWN: 1}
MID_BUCKET = 127


@dataclass(frozen=True)
class Pose:
    """The camera at one frame, as something at depth 1 sees it."""

    dx: float = 0.0                     # frame pixels to the right of the middle
    dy: float = 0.0                     # frame pixels below the middle
    zoom: float = 1.0
    pivot: float = 0.0                  # the depth that does not move

    def at(self, depth: float) -> "Pose":
        """How something at *depth* (0: the horizon, 1: the subject) sees it."""
        reach = depth - self.pivot
        return Pose(self.dx * reach, self.dy * reach, 1 + (self.zoom - 1) * depth)


def poses(move: CameraMove, num_frames: int, width: int, height: int, bucket: float) -> list[Pose]:
    """The camera at each frame.

    :param bucket: motion_bucket_id, 1 to 255: travel grows with it in proportion.
    """
    reach = TRAVEL[move] * bucket / MID_BUCKET
    pivot = PIVOT if move is CameraMove.ORBIT else 0.0
    return [_pose(move, _eased(i, num_frames), reach, width, height, pivot) for i in range(num_frames)]


def _pose(move: CameraMove, t: float, reach: float, width: int, height: int, pivot: float) -> Pose:
    if move is CameraMove.PUSH_IN or move is CameraMove.PULL_OUT:
        return Pose(zoom=1 + reach * (t if move is CameraMove.PUSH_IN else 1 - t))
    from_middle = (t - 0.5) * reach
    return Pose(from_middle * width * HORIZONTAL.get(move, 0), from_middle * height * VERTICAL.get(move, 0), 1.0, pivot)


def _eased(i: int, num_frames: int) -> float:
    """0 to 1 over the frames, slow at both ends (half smoothstep, half linear: a shot must not start dead)."""
    if num_frames == 1:
        return 0.5
    t = i / (num_frames - 1)
    return (t + t * t * (3 - 2 * t)) / 2
