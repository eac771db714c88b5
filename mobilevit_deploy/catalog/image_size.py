"""Image sizes as people write them."""

import re

_SIZE = re.compile(r"[1-9]\d{0,4}(x[1-9]\d{0,4}){0,2}")


def parse_image_size(text: str) -> tuple[int, ...]:
    """Returns N, HxW or CxHxW as (height, width) or (channels, height, width), in pixels; raises ValueError."""
    if not _SIZE.fullmatch(text):
        raise ValueError(f"{text!r} is no size: give N, HxW or CxHxW, for example 224 or 256x192")
    size = tuple(int(part) for part in text.split("x"))
    return (size[0], size[0]) if len(size) == 1 else size
