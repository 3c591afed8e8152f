"""Where a card says something else than its figures: each line and each number is named."""

import pytest

from hf_unet.cards.differences import part_differences


@pytest.mark.parametrize(
    ("given", "right", "sentences"),
    [
        ("a 0.5", "a 0.5", []),
        ("a 0.5  \n\nb", "a 0.5\nb", []),
        ("a 1,234 b 5", "a 1,235 b 6", ["says 1,234 where metrics.json has 1,235.",
                                        "says 5 where metrics.json has 6."]),
        ("a 1e-7", "a 2e-7", ["says 1e-7 where metrics.json has 2e-7."]),
        ("U373 0.5", "U374 0.5", ["says 'U373 0.5' where metrics.json has 'U374 0.5'."]),
        ("a", "a\nb", ["lacks 'b', which metrics.json makes."]),
        ("a\nb", "a", ["has 'b', which metrics.json does not make."]),
        ("x\nb\nc", "y\nb 1\nc", ["says 'x' where metrics.json has 'y'."]),
        (f"{'long ' * 40}dog {'end ' * 30}", f"{'long ' * 40}cat {'end ' * 30}",
         [f"says '...{'long ' * 4}dog {'end ' * 9}...' where metrics.json has "
          f"'...{'long ' * 4}cat {'end ' * 9}...'."]),
    ],
)  # fmt: skip
def test_lines_are_compared_and_numbers_one_by_one(
    given: str, right: str, sentences: list[str]
) -> None:
    found = part_differences("figures", given, right)
    assert found == [f"The figures part of the card {one}" for one in sentences]
