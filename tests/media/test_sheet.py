"""Contact sheets: which frames they show, in which places, and what becomes of them where the video is not whole."""

from itertools import pairwise

import pytest
from PIL import Image

from tests.media.conftest import grey
from vidgen.errors import EncodeFailed
from vidgen.media.probe import inspect
from vidgen.media.sheet import MAX_SIDE, MAX_TILE_HEIGHT, TILE_WIDTH, contact_sheet, grid, shown


@pytest.mark.parametrize("num_frames", [*range(1, 60), 99, 1000, 100_000])
def test_every_tile_has_a_frame_of_its_own_and_they_are_evenly_spaced(num_frames):
    columns, rows = grid(num_frames)
    assert 1 <= rows <= columns <= MAX_SIDE
    found = shown(num_frames)
    assert len(found) == columns * rows <= num_frames
    assert found == sorted(set(found))
    assert found[0] >= 0 and found[-1] < num_frames
    steps = {b - a for a, b in pairwise(found)}
    assert not steps or max(steps) - min(steps) <= 1


def test_a_long_video_fills_five_rows_of_five():
    assert [grid(n) for n in (1, 2, 3, 4, 6, 9, 12, 24, 25, 99)] == [
        (1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (3, 3), (4, 3), (5, 4), (5, 5), (5, 5),
    ]
    assert shown(25) == list(range(25))


@pytest.mark.parametrize("num_frames", [1, 7, 25, 40])
def test_the_tiles_are_the_frames_row_by_row(clip, tmp_path, num_frames):
    contact_sheet(clip(frames=num_frames), tmp_path / "sheet.jpg", num_frames=num_frames)
    columns, rows = grid(num_frames)
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.format == "JPEG"
        assert sheet.size == (64 * columns, 48 * rows)
        for tile, index in enumerate(shown(num_frames)):
            row, column = divmod(tile, columns)
            at = sheet.getpixel((column * 64 + 40, row * 48 + 30))
            assert at == pytest.approx([grey(index, num_frames)[24]] * 3, abs=4), (tile, index)


@pytest.mark.parametrize(("size", "tile"), [
    ((480, 270), (TILE_WIDTH, 136)), ((240, 480), (240, 480)), ((320, 1280), (120, MAX_TILE_HEIGHT)),
    ((64, 48), (64, 48)),
])
def test_tiles_have_the_videos_shape_and_are_never_larger_than_it(clip, tmp_path, size, tile):
    path = clip(frames=4, width=size[0], height=size[1])
    contact_sheet(path, tmp_path / "sheet.jpg", num_frames=4)
    with Image.open(tmp_path / "sheet.jpg") as sheet:
        assert sheet.size == (2 * tile[0], 2 * tile[1])


def test_same_video_same_bytes(clip, tmp_path):
    path = clip(frames=30)
    for name in ("one.jpg", "two.jpg"):
        contact_sheet(path, tmp_path / name, num_frames=30)
    assert (tmp_path / "one.jpg").read_bytes() == (tmp_path / "two.jpg").read_bytes()
    assert b"Lavc" not in (tmp_path / "one.jpg").read_bytes()


def test_it_takes_one_run(fake, clip, tmp_path):
    path = clip(frames=30)
    fake.forget()
    contact_sheet(path, tmp_path / "sheet.jpg", num_frames=30)
    assert len(fake.runs()) == 1


def test_a_video_with_fewer_frames_has_no_sheet(clip, tmp_path):
    with pytest.raises(EncodeFailed, match="fewer than 30 frames"):
        contact_sheet(clip(frames=6), tmp_path / "sheet.jpg", num_frames=30)
    assert not (tmp_path / "sheet.jpg").exists()


def test_a_video_that_is_not_whole_has_no_sheet(clip, tmp_path):
    path = clip(frames=30)
    data = bytearray(path.read_bytes())
    data[-400:] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(EncodeFailed):
        inspect(path)
    with pytest.raises(EncodeFailed):
        contact_sheet(path, tmp_path / "sheet.jpg", num_frames=30)
    assert not (tmp_path / "sheet.jpg").exists()
