"""Pictures from outside: what is taken comes out clean, the rest is refused in our words."""

import errno
import io
import os
import struct
import zipfile
import zlib

import pytest
from PIL import Image, ImageChops, ImageDraw

from tests.fuzz.images import judge, make
from vidgen.errors import DiskLow, InvalidInput, TooLarge
from vidgen.media import imageparts
from vidgen.media.images import BACKGROUND, MAX_UPLOAD_BYTES, cover_crop, take_in

SIZE = 24, 16
FORMATS = {
    "jpeg": {"format": "JPEG"}, "progressive": {"format": "JPEG", "progressive": True},
    "png": {"format": "PNG"}, "webp": {"format": "WEBP"}, "lossless": {"format": "WEBP", "lossless": True},
}


def picture(size=SIZE) -> Image.Image:
    """Red and green halves with a blue corner at the top left: every way of turning it shows."""
    image = Image.new("RGB", size, (200, 30, 30))
    draw = ImageDraw.Draw(image)
    draw.rectangle((size[0] // 2, 0, *size), fill=(30, 180, 40))
    draw.rectangle((0, 0, size[0] // 4, size[1] // 4), fill=(30, 40, 200))
    return image


def encoded(image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
             for name, body in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def exif(orientation: int, order: str = "<") -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    entries = [(0x010F, 2, 4, b"abc\0"), (0x0112, 3, 1, struct.pack(order + "HH", orientation, 0))]
    body = b"".join(struct.pack(order + "HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return head + struct.pack(order + "IH", 8, len(entries)) + body + bytes(4)


@pytest.fixture
def take(tmp_path):
    """Take bytes in; return the picture that was written."""
    target = tmp_path / "upload.png"

    def take(data: bytes) -> Image.Image:
        taken = take_in(io.BytesIO(data), target)
        with Image.open(target) as image:
            image.load()
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (taken.width, taken.height))
        assert image.info == {}
        assert [name for name, *_ in imageparts._png_chunks(target.read_bytes())].count(b"IDAT") >= 1
        assert {name for name, *_ in imageparts._png_chunks(target.read_bytes())} == {b"IHDR", b"IDAT", b"IEND"}
        assert [p.name for p in tmp_path.iterdir()] == ["upload.png"]
        return image

    return take


@pytest.fixture
def refuse(tmp_path):
    """Assert that bytes are refused with this code and nothing is written."""

    def refuse(data: bytes, code: str) -> str:
        with pytest.raises(InvalidInput) as refused:
            take_in(io.BytesIO(data), tmp_path / "upload.png")
        assert refused.value.code == code
        assert [f.field for f in refused.value.fields] == ["file"]
        assert refused.value.__cause__ is None
        assert list(tmp_path.iterdir()) == []
        return refused.value.detail

    return refuse


def assert_close(a, b, tolerance=0):
    assert a.size == b.size
    assert max(high for _, high in ImageChops.difference(a, b).getextrema()) <= tolerance


def assert_alike(a, b):
    """Equal from afar: what blurs at the edges of colours does not count."""
    assert_close(*(image.resize((12, 8), Image.Resampling.BOX) for image in (a, b)), 25)


# what is taken


@pytest.mark.parametrize("name", ["png", "lossless"])
def test_lossless_pictures_stay_what_they_were(take, name):
    assert_close(take(encoded(picture(), **FORMATS[name])), picture())


@pytest.mark.parametrize("name", ["jpeg", "progressive", "webp"])
def test_the_others_come_close(take, name):
    assert_alike(take(encoded(picture((96, 64)), quality=95, **FORMATS[name])), picture((96, 64)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_way_of_holding_a_camera(take, orientation, order):
    """The file holds the scene as the sensor saw it; out comes the scene."""
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    scene = picture((96, 64))
    seen = scene if undo is None else scene.transpose(Image.Transpose(undo))
    block = exif(orientation, order)
    assert_alike(take(encoded(seen, format="JPEG", quality=95, exif=b"Exif\0\0" + block)), scene)
    assert_close(take(encoded(seen, format="PNG", exif=block)), scene)
    assert_close(take(encoded(seen, format="WEBP", lossless=True, exif=block)), scene)


@pytest.mark.parametrize("block", [
    b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", exif(0), exif(9), exif(65535), exif(6)[:-9],
    b"junk" * 9,
])
def test_exif_that_says_nothing(take, block):
    data = encoded(picture(), format="PNG", exif=block or b"\0")
    assert_close(take(data), picture())


def test_a_cmyk_jpeg(take):
    assert_alike(take(encoded(picture((96, 64)).convert("CMYK"), format="JPEG", quality=95)), picture((96, 64)))


def test_a_grey_jpeg(take):
    assert take(encoded(Image.new("L", SIZE, 77), format="JPEG")).getpixel((3, 3)) == (77, 77, 77)


def test_sixteen_bits_a_channel(take):
    grey = png((b"IHDR", struct.pack(">IIBBBBB", 4, 1, 16, 0, 0, 0, 0)),
               (b"IDAT", zlib.compress(b"\0" + struct.pack(">4H", 0, 0x4000, 0x8000, 0xFFFF))), (b"IEND", b""))
    assert [take(grey).getpixel((x, 0)) for x in range(4)] == [(0,) * 3, (64,) * 3, (128,) * 3, (255,) * 3]
    colour = png((b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)),
                 (b"IDAT", zlib.compress(b"\0" + struct.pack(">3H", 0xFFFF, 0x8000, 0))), (b"IEND", b""))
    assert take(colour).getpixel((0, 0)) == (255, 128, 0)


def test_black_and_white(take):
    assert take(encoded(Image.new("1", SIZE, 1), format="PNG")).getpixel((0, 0)) == (255, 255, 255)


def test_a_palette_with_transparency(take):
    image = Image.new("P", SIZE, 1)
    image.putpalette([0, 0, 0, 200, 100, 50, 10, 20, 30])
    ImageDraw.Draw(image).rectangle((0, 0, 5, 5), fill=2)
    assert take(encoded(image, format="PNG")).getpixel((20, 10)) == (200, 100, 50)
    see_through = take(encoded(image, format="PNG", transparency=2))
    assert see_through.getpixel((2, 2)) == BACKGROUND
    assert see_through.getpixel((20, 10)) == (200, 100, 50)
    assert take(encoded(image, format="PNG", transparency=bytes([255, 0, 255]))).getpixel((20, 10)) == BACKGROUND


@pytest.mark.parametrize(("mode", "clear"), [
    ("RGBA", (255, 255, 255, 0)), ("LA", (255, 0)), ("L", 255), ("RGB", (1, 2, 3)), ("1", 1),
])
def test_what_is_transparent_shows_the_background(take, mode, clear):
    image = Image.new(mode, SIZE, clear)
    options = {} if mode.endswith("A") else {"transparency": clear}
    assert take(encoded(image, format="PNG", **options)).getpixel((0, 0)) == BACKGROUND


def test_half_transparent(take):
    image = Image.new("RGBA", SIZE, (255, 0, 0, 128))
    assert_close(take(encoded(image, format="WEBP", lossless=True)), Image.new("RGB", SIZE, (192, 64, 64)), 1)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame(take, kind):
    frames = [Image.new("RGB", SIZE, colour) for colour in ((200, 10, 10), (10, 200, 10), (10, 10, 200))]
    data = encoded(frames[0], format=kind, save_all=True, append_images=frames[1:], lossless=True, duration=50)
    assert_close(take(data), frames[0], 2)


@pytest.mark.parametrize("name", FORMATS)
def test_what_hangs_on_behind_stays_behind(take, name, tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("evil.txt", "payload")
    take(encoded(picture(), **FORMATS[name]) + archive.getvalue())
    assert not zipfile.is_zipfile(tmp_path / "upload.png")


def test_metadata_is_dropped(take, tmp_path):
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add_text("Author", "payload")
    told.add_text("Long", "payload" * 9, zip=True)
    take(encoded(picture(), format="PNG", pnginfo=told, icc_profile=b"payload" * 20, dpi=(72, 72), exif=exif(1)))
    assert b"payload" not in (tmp_path / "upload.png").read_bytes()
    take(encoded(picture(), format="JPEG", comment=b"payload", icc_profile=b"payload" * 20, exif=b"Exif\0\0" + exif(1)))
    assert b"payload" not in (tmp_path / "upload.png").read_bytes()


def test_the_smallest_and_the_longest(take):
    assert take(encoded(Image.new("RGB", (1, 1)), format="PNG")).size == (1, 1)
    assert take(encoded(Image.new("L", (60_000, 1)), format="JPEG")).size == (60_000, 1)


def test_a_picture_replaces_the_one_before(take):
    take(encoded(picture(), format="PNG"))
    assert take(encoded(picture((8, 8)), format="PNG")).size == (8, 8)


# bombs


@pytest.mark.parametrize("data", [
    png((b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(99))),
        (b"IEND", b"")),
    png((b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 1, 0, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")),
    b"\xff\xd8\xff\xc0\x00\x0b\x08\xc3\x50\xc3\x50\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x00\xff\xd9",
    b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff" + bytes(4),
    b"RIFF\x12\0\0\0WEBPVP8L\x05\0\0\0\x2f\xff\xff\xff\x0f\0",
    b"RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f",
    encoded(Image.new("1", (8_001, 5_000)), format="PNG"),
], ids=["png", "huge png", "jpeg", "webp", "lossless webp", "lossy webp", "41 megapixels"])
def test_too_many_pixels_are_refused_before_they_are_made(refuse, data):
    assert "megapixels" in refuse(data, "image_too_large")


def test_40_megapixels_are_taken(take):
    assert take(encoded(Image.new("1", (8_000, 5_000)), format="PNG")).size == (8_000, 5_000)


def test_text_that_swells(take):
    """Compressed text and profiles are not looked at, however large they would be."""
    bomb = zlib.compress(bytes(50_000_000), 9)
    data = encoded(picture(), format="PNG")
    head, rest = data[:33], data[33:]
    chunks = png((b"zTXt", b"a\0\0" + bomb), (b"iCCP", b"a\0\0" + bomb), (b"iTXt", b"a\0\1\0\0\0" + bomb))[8:]
    assert_close(take(head + chunks + rest), picture())


def test_exif_that_names_itself_thousands_of_times(take):
    """65,533 entries, each of which claims the whole block: copied one by one, that is 59 GB."""
    entries = b"".join(struct.pack("<HHII", tag, 7, 900_000, 8) for tag in range(1, 65_535) if tag != 0x0112)
    block = b"II*\0" + struct.pack("<IH", 8, 65_534) + entries + bytes(200_000)
    data = encoded(picture(), format="JPEG")
    pieces = [block[i:i + 60_000] for i in range(0, len(block), 60_000)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(p) + 8) + b"Exif\0\0" + p for p in pieces)
    take(data[:2] + segments + data[2:])
    take(encoded(picture(), format="PNG", exif=block))


def test_a_jpeg_with_too_many_scans(refuse):
    data = encoded(picture(), format="JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    refuse(data[:-2] + data[last:-2] * imageparts.MAX_SCANS + data[-2:], "broken_image")


@pytest.mark.parametrize("rest", [b"", b"\0"], ids=["cut", "data"])
def test_a_jpeg_of_fill_bytes(refuse, rest):
    """Looked through anew from each of its bytes, a run of them takes days, and nothing else runs meanwhile."""
    data = encoded(picture(), format="JPEG")
    start = data.rindex(b"\xff\xda")
    scan = start + 2 + int.from_bytes(data[start + 2:start + 4])
    refuse(data[:scan] + b"\xff" * (MAX_UPLOAD_BYTES - scan - 1) + rest, "broken_image")


def test_fill_bytes_before_a_marker(take):
    data = encoded(picture(), format="JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    filled = data[:start] + b"\xff" * 1_000 + data[start:-2] + b"\xff" * 1_000 + data[-2:]
    assert_close(take(filled), take(data))


@pytest.mark.parametrize("where", ["before", "between"])
def test_a_jpeg_of_too_many_segments(refuse, where):
    data = encoded(picture(), format="JPEG", progressive=True)
    at = 2 if where == "before" else data.rindex(b"\xff\xda")
    refuse(data[:at] + b"\xff\xfe\0\2" * imageparts.MAX_CHUNKS + data[at:], "broken_image")


def test_a_png_of_too_many_chunks(refuse):
    data = encoded(picture(), format="PNG")
    refuse(data[:33] + png((b"junk", b""))[8:] * imageparts.MAX_CHUNKS + data[33:], "broken_image")


def test_too_many_bytes(tmp_path):
    with pytest.raises(TooLarge):
        take_in(io.BytesIO(encoded(picture(), format="PNG") + bytes(MAX_UPLOAD_BYTES)), tmp_path / "upload.png")
    assert list(tmp_path.iterdir()) == []


# what is refused


@pytest.mark.parametrize("data", [
    b"", b"\xff", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", b"%PDF-1.7\n",
    b"%!PS-Adobe-3.0 EPSF-3.0\n", b"P6 1 1 255\n\0\0\0", b"RIFF\0\0\0\0WAVEfmt ", b"\0\0\0\x20ftypavif",
    encoded(picture(), format="GIF"), encoded(picture(), format="BMP"), encoded(picture(), format="TIFF"),
    encoded(picture(), format="ICO"), encoded(picture(), format="PPM"), b" " + encoded(picture(), format="PNG"),
])
def test_other_formats(refuse, data):
    assert refuse(data, "unsupported_image") == "file: must be a JPEG, PNG or WebP image"


@pytest.mark.parametrize("name", FORMATS)
def test_every_cut_is_refused(refuse, name):
    data = encoded(picture(), **FORMATS[name])
    for length in range(12, len(data)):
        detail = refuse(data[:length], "broken_image")
    assert detail == f"file: is not a whole {FORMATS[name]['format']} image"


@pytest.mark.parametrize("data", [
    png((b"IEND", b"")), png((b"IHDR", bytes(13)), (b"IEND", b"")),
    png((b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)), (b"IEND", b"")),
    png((b"IHDR", struct.pack(">IIBBBBB", 9, 9, 99, 99, 0, 0, 0)), (b"IDAT", b"x"), (b"IEND", b"")),
    png((b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)), (b"IDAT", b"not deflated"), (b"IEND", b"")),
    png((b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(90))))[:-9],
    encoded(picture(), format="PNG").replace(b"IHDR", b"iHDR"), b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xe0\xff\xff",
    b"RIFF\x04\0\0\0WEBP", b"RIFF\x10\0\0\0WEBPVP8X\x0a\0\0\0\0\0", b"RIFF\xff\xff\xff\xffWEBPVP8 ",
    b"RIFF\x12\0\0\0WEBPVP8Z\x05\0\0\0\x2f\x01\0\0\0\0",
])
def test_nonsense_behind_a_good_beginning(refuse, data):
    refuse(data, "broken_image")


def test_parts_that_disagree(refuse):
    small, large = encoded(picture(), format="PNG"), encoded(picture((64, 64)), format="PNG")
    refuse(small[:33] + large[8:33] + small[33:], "broken_image")


@pytest.mark.parametrize("batch", range(4))
def test_a_little_of_the_fuzzing(tmp_path, batch):
    """All of it: ``python -m tests.fuzz.images``."""
    outcomes = {judge(make(seed), tmp_path) for seed in range(batch * 50, batch * 50 + 50)}
    assert {"taken", "broken_image"} <= outcomes


# the disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_not_a_broken_image(tmp_path, monkeypatch, number):
    def full(fd):
        raise OSError(number, "full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskLow):
            take_in(io.BytesIO(encoded(picture(), format="PNG")), tmp_path / "upload.png")
    assert list(tmp_path.iterdir()) == []
    take_in(io.BytesIO(encoded(picture(), format="PNG")), tmp_path / "upload.png")


def test_other_errors_of_the_disk_are_their_own(tmp_path):
    with pytest.raises(FileNotFoundError):
        take_in(io.BytesIO(encoded(picture(), format="PNG")), tmp_path / "nowhere" / "upload.png")


def test_what_reading_raises_goes_on_up(tmp_path):
    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        take_in(Broken(), tmp_path / "upload.png")


# cropping


@pytest.mark.parametrize("size", [(100, 50), (50, 100), (64, 64), (24, 16), (7, 300)])
@pytest.mark.parametrize("wanted", [(64, 36), (36, 64), (10, 10)])
def test_a_crop_covers_and_never_stretches(size, wanted):
    """A gradient keeps its slope in both directions alike."""
    image = Image.new("RGB", size)
    image.putdata([(x * 255 // size[0], y * 255 // size[1], 0) for y in range(size[1]) for x in range(size[0])])
    cropped = cover_crop(image, *wanted)
    assert cropped.size == wanted
    kept = min(size[0] / wanted[0], size[1] / wanted[1])
    (low_x, high_x), (low_y, high_y), _ = cropped.getextrema()
    assert high_x - low_x == pytest.approx(255 * wanted[0] * kept / size[0], abs=255 / min(size) + 255 / min(wanted))
    assert high_y - low_y == pytest.approx(255 * wanted[1] * kept / size[1], abs=255 / min(size) + 255 / min(wanted))


@pytest.mark.parametrize(("focus", "colour"), [
    ((0.0, 0.5), (255, 0, 0)), ((0.5, 0.5), (0, 255, 0)), ((1.0, 0.5), (0, 0, 255)), ((0.17, 0.9), (255, 0, 0)),
])
def test_the_focus_stays_in_view(focus, colour):
    image = Image.new("RGB", (300, 100), (0, 255, 0))
    image.paste((255, 0, 0), (0, 0, 100, 100))
    image.paste((0, 0, 255), (200, 0, 300, 100))
    assert cover_crop(image, 50, 50, focus).getpixel((25, 25)) == colour
    assert cover_crop(image.rotate(90, expand=True), 50, 50, (focus[1], 1 - focus[0])).getpixel((25, 25)) == colour


def test_the_same_size_is_the_same_picture():
    assert_close(cover_crop(picture(), *SIZE, (0.1, 0.9)), picture())
