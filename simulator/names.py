"""Names as people and tools write them: one form for all spellings, and how near two names are."""

from __future__ import annotations

import re
from functools import cache

# Makers and their brands say nothing that the rest of a name does not: NVIDIA GeForce RTX 4090 is the RTX 4090.
MAKERS = frozenset(
    ("nvidia", "geforce", "tesla", "amd", "radeon", "instinct", "intel", "apple", "google", "aws", "corporation", "gpu")
)
# Trade marks, limits of power, and how many there are: (R), (1000W), 8x at the begin, x8 at the end; what drivers put
# behind a GPU and kernels behind a CPU: (RADV NAVI31), 96-Core Processor, CPU @ 2.30GHz.
_MARKS = (
    r"\((?:r|tm|c)\)|[\u00ae\u2122]|\(\d+ ?w\)|^\d+ ?x +|(?<=gb) ?x ?\d+$"
    r"|\((?:radv|amdvlk|nvk|llvm)\b[^()]*\)$|\b\d+-core processor\b|\bcpu @ [\d.]+ ?ghz$"
)
_PART = r"[^\W\d_]+|\d+(?:\.\d+)?|\+"
NEAR = 0.6  # likeness from which a name may be meant, of 1 for the same
FAR = 8  # times a number from which another is not a slip of it
LEADING = 0.1  # by which a name that another word follows goes before one with letters more: a 4090 Laptop is no 4090 D
SAME_SIZE = 0.05  # by which the name of the same size goes before another of those that are near
MOST_NAME = 120  # letters; what is longer is no name, and compared by so many
OTHER_NUMBERS = 0.7  # what is left of the likeness of two names whose numbers are all far apart


@cache
def normal_form(name: str) -> str:
    """Return a name in lower case, words and numbers apart, without makers: ``a 100 sxm 4 80 gb`` of the A100's.

    Spaces, hyphens, case and trade marks make no difference. A name of makers alone keeps them.
    """
    text = re.sub(r"(?<=\d)g(?!\w)", "gb", re.sub(_MARKS, " ", name.casefold()))
    parts = re.findall(_PART, text)
    return " ".join([part for part in parts if part not in MAKERS] or parts) or name.casefold()


def measure_likeness(one: str, other: str) -> float:
    """Return how alike two normal forms are, from 0 to 1; a 530B is not meant by a 6.7B, however alike their words."""
    from difflib import SequenceMatcher

    likeness = SequenceMatcher(None, one, other, autojunk=False).ratio()
    numbers, others = ([float(part) for part in form.split() if part[0].isdigit()] for form in (one, other))
    near = any(a <= FAR * b and b <= FAR * a for a in numbers for b in others)
    word, other_word = (form.partition(" ")[0] for form in (one, other))
    if 1 in (len(word), len(other_word)) and word != other_word:
        likeness *= OTHER_NUMBERS  # an A2 is no M2
    return likeness if near or not numbers or not others else likeness * OTHER_NUMBERS


def find_largest(form: str) -> float:
    """The largest number in a normal form, which mostly is a size; 0 where there is none."""
    return max((float(part) for part in form.split() if part[0].isdigit()), default=0.0)


def leads(form: str, wanted: str) -> bool:
    """Whether a name begins with another, and a word follows, not a letter alone as in L40X."""
    return wanted.startswith(f"{form} ") and len(wanted[len(form) :].split()[0]) > 1


def find_nearest(name: str, candidates: list[str]) -> str | None:
    """Return the candidate that was most likely meant by a name; None where nothing is close.

    What begins with the name comes first: ``gptj`` is more like ``gpt2`` than like ``gptj-6b``.
    """
    folded, wanted = name.casefold(), normal_form(name[:MOST_NAME])
    longer = sorted(one for one in candidates if folded and one.casefold().startswith(folded))
    if longer:
        return longer[0]
    likeness = {one: measure_likeness(wanted, normal_form(one)) for one in candidates}
    size = find_largest(wanted)
    alike = {
        one: likeness[one]
        + SAME_SIZE * (size == find_largest(normal_form(one)) > 0)
        + LEADING * leads(normal_form(one), wanted)
        for one in likeness
    }
    far = {one: abs(find_largest(normal_form(one)) - size) for one in alike}  # of names alike, an M4's neighbour is M3
    best = max(alike, key=lambda one: (likeness[one] >= NEAR, alike[one], -far[one], one == one.lower()), default=None)
    return best if best is not None and likeness[best] >= NEAR else None
