"""What earlier versions of a job have made, taken over by hard links: found by what determined it, never by its place.

Runs while the job is planned, before the plan is committed. A link that a death left behind is made again, or written
over by the render that takes its name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vidgen.engine import names, recipe, specs
from vidgen.engine.attempt import Attempt
from vidgen.engine.references import References
from vidgen.engine.starts import Start, first_image, is_chained, sha256_of
from vidgen.errors import EncodeFailed, StepFailed
from vidgen.media import video
from vidgen.media.files import Workspace
from vidgen.registry import Model
from vidgen.settings import Settings
from vidgen.store import jobs
from vidgen.store.database import Database
from vidgen.types import Job, RenderSpec, Shot, ShotStatus, StepKind


@dataclass(frozen=True, slots=True)
class _Made:
    """What a step of an earlier version made."""

    shot: Shot
    folder: Path                            # of its job
    kind: StepKind
    key: str
    asked: Mapping[str, Any]                # the parameters that it was to be rendered with

    @property
    def how(self) -> Mapping[str, Any]:
        return self.shot.made.get(self.kind, {})


class Reuse:
    def __init__(self, database: Database, workspace: Workspace, references: References, settings: Settings):
        self._database = database
        self._workspace = workspace
        self._references = references
        self._settings = settings

    def begin(self, at: Attempt, starts: Sequence[Start], model: Model, keyframe_model: Model | None) -> list[Shot]:
        """The job's shots, each with what is there already: its own image, an earlier version's keyframe or clip.

        :param at: the attempt at the plan, of a job whose storyboard is laid out.
        :param starts: where each shot starts from.
        :raises StepFailed: where an image that a shot is to start from is gone.
        """
        made, shots = self._made(at.job), []
        for shot, start in zip(at.job.storyboard.shots, starts, strict=True):
            if start is Start.OWN:
                shot = self._with_own_image(at, shot)
            elif start is Start.DRAWN:
                shot = self._with_keyframe(at, shot, made, keyframe_model)
            before = shots[-1] if shots else None
            if _can_begin(shot, start, before):
                shot = self._with_clip(at, shot, made, model)
            shots.append(shot)
        return shots

    def _made(self, job: Job) -> list[_Made]:
        """By the other versions: the parent first, since of equal keyframes its clips begin with its own; then
        the newest.
        """
        if job.root_id is None:
            return []
        family = self._database.read(lambda conn: jobs.versions(conn, job.root_id))
        nearest = sorted(reversed(family), key=lambda each: each.id != job.parent_id)
        return [made for each in nearest if each.id != job.id for made in self._made_of(each)]

    def _made_of(self, job: Job) -> Iterator[_Made]:
        folder = self._workspace.job_dir(job.id)
        for shot in job.storyboard.shots if job.storyboard else ():
            if shot.keyframe_key is not None:
                yield _Made(shot, folder, StepKind.KEYFRAME, shot.keyframe_key, job.keyframe_parameters)
            if shot.key is not None and shot.status is ShotStatus.COMPLETED:
                asked = {**job.effective.parameters, **shot.parameters}
                yield _Made(shot, folder, StepKind.RENDER, shot.key, asked)

    def _with_own_image(self, at: Attempt, shot: Shot) -> Shot:
        if (own := self._references.named(shot.keyframe_upload_id)) is None:
            raise StepFailed(f"the keyframe_image of {shot.id} is gone", retryable=False, code="image_missing")
        name = names.keyframe(shot.id)
        self._workspace.link(own.path, self._workspace.make_job_dir(at.job.id) / name)
        return replace(shot, keyframe=name, keyframe_upload_id=own.id)

    def _with_keyframe(self, at: Attempt, shot: Shot, made: Sequence[_Made], model: Model) -> Shot:
        spec = specs.keyframe_spec(at.job, shot, at.step, model.card, Path())
        name = names.keyframe(shot.id)
        for each in self._alike(made, StepKind.KEYFRAME, spec, model, None):
            if self._link(at, {each.shot.keyframe: name}, each):
                return replace(shot, keyframe=name, keyframe_key=each.key, made=_how(shot, each))
        return shot

    def _with_clip(self, at: Attempt, shot: Shot, made: Sequence[_Made], model: Model) -> Shot:
        image = first_image(at.job, shot, at.folder, self._references)
        spec = specs.render_spec(at.job, shot, at.step, image, Path())
        for each in self._alike(made, StepKind.RENDER, spec, model, sha256_of(image)):
            files = _files(at.job, each.shot, shot.id)
            if files is not None and _is_whole(each.folder / each.shot.video) and self._link(at, files, each):
                return replace(
                    shot, status=ShotStatus.COMPLETED, key=each.key, made=_how(shot, each), video=names.clip(shot.id),
                    poster=names.poster(shot.id), frames=files.get(each.shot.frames),
                )
        return shot

    def _alike(
        self, made: Sequence[_Made], kind: StepKind, spec: RenderSpec, model: Model, image_sha256: str | None
    ) -> Iterator[_Made]:
        """What *spec* would give. A clip that was changed to fit the memory is only for those who allow that, and who
        ask for what was asked for then.
        """
        keys: dict[str, str] = {}
        for each in made:
            if each.kind is not kind:
                continue
            how = each.how if spec.adapt and each.asked == spec.parameters else {}
            named = recipe.canonical(how.get("parameters", {}))
            if named not in keys:
                keys[named] = recipe.clip_key(recipe.as_made(spec, how), model, self._settings, image_sha256)
            if keys[named] == each.key:
                yield each

    def _link(self, at: Attempt, files: Mapping[str, str], made: _Made) -> bool:
        """Take the files over, each under its new name; False where one is gone, since a deletion may overtake us."""
        at.control.heed()
        folder = self._workspace.make_job_dir(at.job.id)
        try:
            for old, new in files.items():
                self._workspace.link(made.folder / old, folder / new)
        except FileNotFoundError:
            return False
        return True


def _can_begin(shot: Shot, start: Start, before: Shot | None) -> bool:
    """Whether the image that the shot starts from, where there is one, is known."""
    if start is Start.DRAWN:
        return shot.keyframe is not None
    return start is not Start.BEFORE or before.status is ShotStatus.COMPLETED


def _files(job: Job, made: Shot, shot_id: str) -> dict[str, str] | None:
    """What a clip of *job* consists of: the old name of each file, and the new one; None where some was not kept."""
    files = {made.video: names.clip(shot_id), made.poster: names.poster(shot_id)}
    if is_chained(job):
        files[names.last_frame(made.id)] = names.last_frame(shot_id)
    if job.request.get("save_frames"):
        if made.frames is None:
            return None
        files[made.frames] = names.frames(shot_id)
    return files


def _is_whole(clip: Path) -> bool:
    """Whether the file is there to its end; else every new version would fail where it is joined."""
    try:
        video.check_whole(clip)
    except EncodeFailed:
        return False
    return True


def _how(shot: Shot, made: _Made) -> dict[str, Mapping[str, Any]]:
    return {**shot.made, **({made.kind: made.how} if made.how else {})}
