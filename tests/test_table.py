"""Tables of plain text: what rich draws where it fits, and every character in its column where it does not."""

import fcntl
import io
import os
import struct
import sys
import termios
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich import box
from rich.console import Console
from rich.table import Table

from simulator.report.output import fold_prose, format_table
from simulator.report.table import fold, lay_out, lay_out_parts, measure

words = st.text("abc1.µ─,", min_size=1, max_size=12)
cells = st.lists(words, min_size=1, max_size=4).map(" ".join)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]], list[bool]]:
    count = draw(st.integers(1, 6))
    row = st.lists(cells, min_size=count, max_size=count)
    numeric = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return draw(row), draw(st.lists(row, min_size=1, max_size=4)), numeric


def draw_by_rich(header: list[str], rows: list[list[str]], numeric: list[bool], width: int) -> str:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, right in zip(header, numeric, strict=True):
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    written = io.StringIO()
    Console(file=written, width=width, color_system=None, highlight=False, markup=False).print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().split("\n")).strip("\n")


@given(tables(), st.sampled_from([120, 240]))
def test_a_table_is_laid_out_as_rich_does_it(table: tuple[list[str], list[list[str]], list[bool]], width: int) -> None:
    assert lay_out(*table, width) == draw_by_rich(*table, width)


@given(tables(), st.integers(30, 80))
def test_a_table_fits_its_terminal_and_loses_no_character(
    table: tuple[list[str], list[list[str]], list[bool]], width: int
) -> None:
    lines = lay_out(*table, width).split("\n")
    assert max(map(measure, lines)) <= width
    header, rows, _ = table
    written = "".join("".join(lines).split())
    for row in (header, *rows):
        for cell in row:
            for character in set("".join(cell.split())) - {"─"}:
                total = sum(each.count(character) for line in (header, *rows) for each in line)
                assert written.count(character) == total


@given(cells, st.integers(1, 20))
def test_a_text_is_folded_at_its_spaces_where_its_words_fit(text: str, width: int) -> None:
    lines = fold(text, width)
    assert max(map(measure, lines)) <= width
    assert "".join("".join(lines).split()) == "".join(text.split())
    if max(map(measure, text.split())) <= width:
        assert " ".join(line.strip() for line in lines).split() == text.split()


def test_wide_characters_take_two_columns_and_accents_of_their_own_none() -> None:
    assert [measure(text) for text in ("", "µs", "模型", "e\N{COMBINING ACUTE ACCENT}")] == [0, 2, 4, 1]
    lines = lay_out(["name", "n"], [["模型", "1"], ["ab", "2"]], [False, True], 80).split("\n")
    assert [measure(line) for line in lines] == [9] * 4


@given(tables(), st.integers(60, 120), st.integers(0, 2))
def test_a_wide_table_is_shown_in_parts_that_break_no_word_and_lose_no_cell(
    table: tuple[list[str], list[list[str]], list[bool]], width: int, keys: int
) -> None:
    header, rows, _ = table
    keys = min(keys, len(header))
    parts = lay_out_parts(*table, width, keys).split("\n\n")
    assert max(measure(line) for part in parts for line in part.split("\n")) <= width
    shown = Counter(word for part in parts for word in part.replace("─", "").split())
    expected: Counter[str] = Counter()
    for place in range(len(header)):
        for cell in (line[place] for line in (header, *rows)):
            for word in cell.replace("─", "").split():
                expected[word] += len(parts) if place < keys else 1
    assert shown == expected


def test_a_table_takes_the_width_of_the_terminal_and_in_a_pipe_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    row = {f"column_{place}": "some words to fold" for place in range(8)}
    assert max(map(len, format_table([row]).split("\n"))) <= 80
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 30, 200, 0, 0))
    with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as changed:
        changed.setattr(sys, "stdout", terminal)
        on_screen = format_table([row])
    os.close(ours)
    assert len(on_screen.split("\n")) == 3
    assert 80 < max(map(len, on_screen.split("\n"))) <= 200
    monkeypatch.setenv("COLUMNS", "200")
    assert format_table([row]) == on_screen


def test_prose_is_folded_where_it_is_wider_and_nothing_else_changes() -> None:
    text = " a\tb\n  " + " ".join(["word"] * 30)
    first, *rest = fold_prose(text).split("\n")
    assert first == " a\tb"
    assert max(map(len, rest)) <= 80
    assert [line[:4] for line in rest] == ["  wo", "    "]
    assert " ".join(rest).split() == ["word"] * 30
