"""No picture from a stranger's folder gets past the check, or past it with a traceback."""

import base64
import hashlib
import io
import random
import re
import struct
import tempfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rsbench.images import MAX_BYTES, check_image, load_image
from rsbench.types import UserError

FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}


def encoded(form: str, frames: int = 1, size: tuple[int, int] = (24, 16)) -> bytes:
    noise = [random.Random(n).randbytes(3 * size[0] * size[1]) for n in range(frames)]
    pictures = [Image.frombytes("RGB", size, pixels) for pixels in noise]
    file = io.BytesIO()
    more = {"save_all": True, "append_images": pictures[1:]} if frames > 1 else {}
    pictures[0].save(file, form, **more)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels: what matters of a bomb, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def refused(tmp_path: Path, data: bytes, name: str = "a.png") -> str:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError) as caught:
        check_image(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_sent_is_the_file(tmp_path: Path, form: str) -> None:
    data = encoded(form)
    (tmp_path / "a.png").write_bytes(data)  # the content says the format, not the name
    image = load_image(tmp_path / "a.png")
    assert (image.data, image.media_type) == (data, FORMATS[form])
    assert image.sha256 == hashlib.sha256(data).hexdigest() == check_image(tmp_path / "a.png")
    assert image.data_url == f"data:{FORMATS[form]};base64,{base64.b64encode(data).decode()}"
    assert str(data) not in repr(image), "a log line is no place for an image"


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_animations(tmp_path: Path, form: str) -> None:
    assert "animated" in refused(tmp_path, encoded(form, frames=3))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_000, 20_000])  # Pillow itself refuses only the second
def test_a_hundred_megapixels(tmp_path: Path, side: int) -> None:
    message = refused(tmp_path, png_header(side, side))
    assert "at most 40,000,000 are allowed" in message or "pixels" in message


@pytest.mark.parametrize("form", FORMATS)
def test_truncated_files(tmp_path: Path, form: str) -> None:
    data = encoded(form, size=(64, 64))
    assert re.search("damaged|not a readable image", refused(tmp_path, data[: len(data) * 2 // 3]))


def test_files_that_are_no_image(tmp_path: Path) -> None:
    assert "allowed formats: PNG, JPEG, WEBP, GIF" in refused(tmp_path, b"<svg xmlns='x'/>")
    assert "allowed formats" in refused(tmp_path, b"")
    bmp = io.BytesIO()
    Image.new("RGB", (4, 4)).save(bmp, "BMP")
    assert "allowed formats" in refused(tmp_path, bmp.getvalue()), "no provider takes a BMP"
    with pytest.raises(UserError, match=r"nowhere\.png: can't read the image \(No such file"):
        check_image(tmp_path / "nowhere.png")
    with pytest.raises(UserError, match="can't read the image .Is a directory"):
        check_image(tmp_path)


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(200_000_000_000)  # sparse: reading it would end this process
    with pytest.raises(UserError, match=f"200,000,000,000 bytes; at most {MAX_BYTES:,}"):
        check_image(path)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(FORMATS)), st.data())
@pytest.mark.filterwarnings("ignore")
def test_damage_is_an_error_of_the_user_or_none(form: str, data: st.DataObject) -> None:
    content = bytearray(encoded(form))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(bytes(content[: cut or None]))
        try:
            check_image(path)
        except UserError as error:
            assert str(path) in str(error)
