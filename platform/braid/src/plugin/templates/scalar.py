"""A card's number with all but its last four digits hidden."""

import re

DIGITS_MIN = 8  # Fewer are no card's number.
SHOWN = 4

output = "string"


def call(number):
    """What is raised is why a row has no answer."""
    if number is None:
        return None
    digits = len(re.findall("[0-9]", number))
    if digits < DIGITS_MIN:
        raise ValueError(f"{digits} digits are no card's number")
    return re.sub("[0-9]", "*", number, count=digits - SHOWN)
