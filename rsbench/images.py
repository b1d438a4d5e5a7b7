"""Images as the engine sends them: verified, bounded, encoded once, named by the hash of the bytes sent.

Pictures come from strangers' folders: an animated, truncated or 100-megapixel file is refused before any
call.
"""

import base64
import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsbench.types import UserError

if TYPE_CHECKING:
    from numpy import floating
    from numpy.typing import NDArray

THUMB = 16  # pixels a side of the thumbnail that pictures are compared by
MAX_PIXELS = 40_000_000
MAX_BYTES = 20_000_000
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}


@dataclass(frozen=True)
class EncodedImage:
    """Bytes ready to send: `sha256` is over exactly `data`."""

    data: bytes = field(repr=False)
    media_type: str
    sha256: str

    @property
    def base64(self) -> str:
        """The bytes in base64, as chat APIs take them."""
        return base64.b64encode(self.data).decode("ascii")

    @property
    def data_url(self) -> str:
        """The bytes as a `data:` URL."""
        return f"data:{self.media_type};base64,{self.base64}"


def check_image(path: Path) -> str:
    """Verify one image file, all of its pixels, without keeping it; returns the sha256 of its bytes.

    Raises:
        UserError: not an image, animated, truncated, too large, or of a format no provider takes.
    """
    from PIL import Image

    image = load_image(path)
    try:
        with Image.open(io.BytesIO(image.data), formats=list(FORMATS)) as opened:
            opened.load()  # a truncated file opens fine and fails only here
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: the image is damaged ({error})") from error
    return image.sha256


def load_image(path: Path) -> EncodedImage:
    """Read one image file as it will be sent: bounded by its header, pixels not decoded.

    Raises:
        UserError: as `check_image`, damaged pixels apart.
    """
    from PIL import Image

    allowed = ", ".join(FORMATS)
    try:
        size = path.stat().st_size  # before reading: the file may be larger than memory
        if size > MAX_BYTES:
            raise UserError(f"{path}: {size:,} bytes; at most {MAX_BYTES:,} are sent. Scale the image down.")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: can't read the image ({error.strerror})") from error
    try:
        with Image.open(io.BytesIO(data), formats=list(FORMATS)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UserError(f"{path}: {width} × {height} pixels; at most {MAX_PIXELS:,} are allowed")
            if getattr(image, "n_frames", 1) > 1:
                raise UserError(f"{path}: the image is animated; give one still frame")
            media_type = FORMATS[str(image.format)]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a readable image ({error}); allowed formats: {allowed}") from error
    return EncodedImage(data, media_type, hashlib.sha256(data).hexdigest())


def fingerprint(path: Path) -> "NDArray[floating[Any]]":
    """What a picture looks like, for telling near copies; shape (THUMB, THUMB, 3), norm 1.

    Each colour has its mean taken off, so the dot product of two is the correlation of the two thumbnails;
    scaling, encoding, brightness and contrast hardly change it. A picture of one colour is all zeros: it is
    like nothing.

    Raises:
        UserError: as `load_image`.
    """
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(load_image(path).data)) as opened:
        thumb = opened.convert("RGB").resize((THUMB, THUMB), Image.Resampling.BOX)
    values = np.asarray(thumb, dtype=np.float64)
    values -= values.mean(axis=(0, 1))
    norm = float(np.linalg.norm(values))
    if norm:
        values /= norm
    return values


def small_picture(path: Path, side: int = 640, most: int = 100_000) -> EncodedImage:
    """One image for a page: its own bytes if they are few, else scaled down to `side` pixels as WebP.

    Raises:
        UserError: as `check_image`.
    """
    from PIL import Image, ImageOps

    image = load_image(path)
    try:
        with Image.open(io.BytesIO(image.data), formats=list(FORMATS)) as opened:
            if max(opened.size) <= side and len(image.data) <= most:
                return image
            turned = ImageOps.exif_transpose(opened)
            turned.thumbnail((side, side))
            mode = "RGBA" if turned.has_transparency_data else "RGB"
            file = io.BytesIO()
            turned.convert(mode).save(file, "WEBP", quality=80)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: the image is damaged ({error})") from error
    data = file.getvalue()
    return EncodedImage(data, FORMATS["WEBP"], hashlib.sha256(data).hexdigest())
