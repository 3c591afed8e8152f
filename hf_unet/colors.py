"""Colours of classes: distinct for all common kinds of colour blindness."""

import re

PALETTE = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2")
"""M. Okabe and K. Ito, Color Universal Design (2008), black left out."""

BACKGROUND = "#000000"


def default_colors(count: int, *, with_background: bool) -> tuple[str, ...]:
    """Colours for ``count`` classes, black for the first if that is the background.

    Examples
    --------
    >>> default_colors(2, with_background=True)
    ('#000000', '#E69F00')
    """
    first = (BACKGROUND,) if with_background else ()
    return first + tuple(PALETTE[index % len(PALETTE)] for index in range(count - len(first)))


def is_color(text: object) -> bool:
    """Whether ``text`` has the form "#rrggbb"."""
    return isinstance(text, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", text) is not None


def rgb(color: str) -> tuple[int, int, int]:
    """Red, green and blue, 0 .. 255, of "#rrggbb".

    Examples
    --------
    >>> rgb("#56B4E9")
    (86, 180, 233)
    """
    red, green, blue = bytes.fromhex(color.removeprefix("#"))
    return red, green, blue


def hex_color(color: tuple[int, int, int]) -> str:
    """Text "#rrggbb" of red, green and blue, 0 .. 255; undoes `rgb`.

    Examples
    --------
    >>> hex_color((86, 180, 233))
    '#56b4e9'
    """
    return "#{:02x}{:02x}{:02x}".format(*color)
