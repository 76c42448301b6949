"""Quantities: what text means in SI units, what is refused and how, and how values are written for people."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from simulator.units import (
    Bytes,
    BytesPerSecond,
    Dimension,
    FlopsPerSecond,
    Hertz,
    Seconds,
    Watts,
    format_quantity,
    format_seconds,
    parse_quantity,
)

PREFIXES = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("80 GB", Dimension.BYTES, 80e9),
        ("40 MiB", Dimension.BYTES, 40 * 2**20),
        ("1 GiB", Dimension.BYTES, 2**30),
        ("512 B", Dimension.BYTES, 512),
        ("2039 GB/s", Dimension.BYTES_PER_SECOND, 2.039e12),
        ("1 TiB/s", Dimension.BYTES_PER_SECOND, 2**40),
        ("19.5 TFLOP/s", Dimension.FLOPS_PER_SECOND, 1.95e13),
        ("624 TOP/s", Dimension.FLOPS_PER_SECOND, 6.24e14),
        ("0.4 kW", Dimension.WATTS, 400),
        ("1410 MHz", Dimension.HERTZ, 1.41e9),
        ("1.5 h", Dimension.SECONDS, 5400),
        ("2 min", Dimension.SECONDS, 120),
        ("3 s", Dimension.SECONDS, 3),
        ("37.2 ms", Dimension.SECONDS, 0.0372),
        ("4.5 us", Dimension.SECONDS, 4.5e-6),
        ("4.5 \u00b5s", Dimension.SECONDS, 4.5e-6),
        ("4.5 \u03bcs", Dimension.SECONDS, 4.5e-6),
        ("7 ns", Dimension.SECONDS, 7e-9),
        ("1 kWh", Dimension.JOULES, 3.6e6),
        ("250 mJ", Dimension.JOULES, 0.25),
        ("1.10 USD", Dimension.DOLLARS, 1.1),
        ("3600 USD/h", Dimension.DOLLARS_PER_SECOND, 1),
    ],
)
def test_a_quantity_is_its_number_times_its_unit(text: str, dimension: Dimension, value: float) -> None:
    assert parse_quantity(text, dimension) == value


@pytest.mark.parametrize("text", ["80GB", " 80 GB ", "80.0 GB", "8e1 GB", "+80 GB", "8E+1\tGB", "80. GB", ".08 TB"])
def test_spaces_and_the_spelling_of_the_number_do_not_matter(text: str) -> None:
    assert parse_quantity(text, Dimension.BYTES) == 80e9


def test_an_exponent_is_told_from_the_prefix_exa() -> None:
    assert parse_quantity("1E3 B", Dimension.BYTES) == 1e3
    assert parse_quantity("1EB", Dimension.BYTES) == 1e18


def test_a_quantity_is_rounded_once() -> None:
    assert 4.1 * 1e12 != 4.1e12  # what multiplying floats makes of 4.1 TB
    assert parse_quantity("4.1 TB", Dimension.BYTES) == 4.1e12


@given(st.integers(1, 1000), st.sampled_from(sorted(set(PREFIXES) - {"E"})))
def test_decimal_prefixes_are_powers_of_a_thousand(number: int, prefix: str) -> None:
    assert parse_quantity(f"{number} {prefix}B/s", Dimension.BYTES_PER_SECOND) == float(number * int(PREFIXES[prefix]))


@given(st.floats(0, 1))
def test_every_float_survives_being_written_with_its_si_unit(share: float) -> None:
    for dimension in Dimension:
        value = min(max(dimension.least * (dimension.most / dimension.least) ** share, dimension.least), dimension.most)
        assert parse_quantity(f"{value!r} {dimension.unit}", dimension) == value


@given(st.text())
def test_any_text_is_a_positive_quantity_or_one_line_of_refusal(text: str) -> None:
    try:
        answer = format_quantity(parse_quantity(text, Dimension.BYTES), "B")
    except ValueError as error:
        answer = str(error)
    assert len(answer.splitlines()) == 1


@pytest.mark.parametrize("dimension", list(Dimension))
def test_the_example_in_messages_is_itself_valid(dimension: Dimension) -> None:
    assert parse_quantity(dimension.example, dimension) > 0


@pytest.mark.parametrize(
    ("text", "dimension", "message"),
    [
        ("80", Dimension.BYTES, "'80' needs a unit, e.g. '80 GB'"),
        ("1e12", Dimension.FLOPS_PER_SECOND, "'1e12' needs a unit, e.g. '312 TFLOP/s'"),
        ("fast", Dimension.HERTZ, "'fast' is not a number and a unit, e.g. '1410 MHz'"),
        ("", Dimension.HERTZ, "'' is not a number and a unit, e.g. '1410 MHz'"),
        ("2,039 GB/s", Dimension.BYTES_PER_SECOND, "'2,039 GB/s' is not a number and a unit, e.g. '2039 GB/s'"),
        ("80 GBs", Dimension.BYTES, "unknown unit 'GBs' in '80 GBs'; did you mean 'GB'?"),
        ("80 KB", Dimension.BYTES, "unknown unit 'KB' in '80 KB'; did you mean 'kB'?"),
        ("312 TFLOPS", Dimension.FLOPS_PER_SECOND, "unknown unit 'TFLOPS' in '312 TFLOPS'; did you mean 'TFLOP/s'?"),
        ("1.41 ghz", Dimension.HERTZ, "unknown unit 'ghz' in '1.41 ghz'; did you mean 'GHz'?"),
        ("5 parsecs", Dimension.WATTS, "unknown unit 'parsecs' in '5 parsecs'; this field needs watts, e.g. '400 W'"),
        (
            "400 Gb/s",
            Dimension.BYTES_PER_SECOND,
            "unknown unit 'Gb/s' in '400 Gb/s'; b is a bit and B a byte (8 bits), e.g. '2039 GB/s'",
        ),
        (
            "400 Gbps",
            Dimension.BYTES_PER_SECOND,
            "unknown unit 'Gbps' in '400 Gbps'; b is a bit and B a byte (8 bits), e.g. '2039 GB/s'",
        ),
        (
            "2039 GB",
            Dimension.BYTES_PER_SECOND,
            "'2039 GB' is bytes; this field needs bytes per second, e.g. '2039 GB/s'",
        ),
        ("80 GB/s", Dimension.BYTES, "'80 GB/s' is bytes per second; this field needs bytes, e.g. '80 GB'"),
        ("300 W", Dimension.HERTZ, "'300 W' is watts; this field needs hertz, e.g. '1410 MHz'"),
        ("inf GB", Dimension.BYTES, "'inf GB' is not finite"),
        ("nan GB", Dimension.BYTES, "'nan GB' is not finite"),
        ("1e999 GB", Dimension.BYTES, "'1e999 GB' is not finite"),
        ("1e308 GB", Dimension.BYTES, "'1e308 GB' is out of range; allowed are 0.001 to 1e+18 B"),
        ("1e-320 ns", Dimension.SECONDS, "'1e-320 ns' is out of range; allowed are 1e-15 to 1e+15 s"),
        ("0 GB", Dimension.BYTES, "'0 GB' must be more than zero"),
        ("-5 GB", Dimension.BYTES, "'-5 GB' must be more than zero"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_would_be_right(text: str, dimension: Dimension, message: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the whole message is compared
        parse_quantity(text, dimension)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("field_type", "text", "value"),
    [
        (Bytes, "80 GB", 80e9),
        (BytesPerSecond, "2039 GB/s", 2.039e12),
        (FlopsPerSecond, "312 TFLOP/s", 3.12e14),
        (Watts, "400 W", 400),
        (Hertz, "1410 MHz", 1.41e9),
        (Seconds, "5 us", 5e-6),
    ],
)
def test_a_field_type_reads_text_into_its_si_unit(field_type: Any, text: str, value: float) -> None:
    adapter: TypeAdapter[float] = TypeAdapter(field_type)
    assert adapter.validate_python(text) == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (80, "80 needs a unit, e.g. '80 GB'"),
        (8e10, "80000000000.0 needs a unit, e.g. '80 GB'"),
        (True, "needs a number and a unit, e.g. '80 GB'"),
        (None, "needs a number and a unit, e.g. '80 GB'"),
        (["80 GB"], "needs a number and a unit, e.g. '80 GB'"),
    ],
)
def test_a_field_type_refuses_what_has_no_unit(value: object, message: str) -> None:
    adapter: TypeAdapter[float] = TypeAdapter(Bytes)
    with pytest.raises(ValidationError) as refusal:
        adapter.validate_python(value)
    assert refusal.value.errors()[0]["msg"] == f"Value error, {message}"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.039e12, "B/s", "2.04 TB/s"),
        (80e9, "B", "80 GB"),
        (999.6e9, "B", "1 TB"),
        (999.4e9, "B", "999 GB"),
        (0, "B", "0 B"),
        (0.5, "J", "0.5 J"),
        (-1.5e9, "B", "-1.5 GB"),
        (3.12e14, "FLOP/s", "312 TFLOP/s"),
        (2e21, "FLOP", "2000 EFLOP"),
        (math.inf, "B/s", "inf B/s"),
        (math.nan, "W", "nan W"),
        (1234.5, "USD", "1230 USD"),
        (0.0000123, "USD", "1.23e-05 USD"),
        (0.0372, "s", "37.2 ms"),
        (np.float64(1.41e9), "Hz", "1.41 GHz"),
    ],
)
def test_people_read_three_digits_and_a_prefix(value: float, unit: str, text: str) -> None:
    assert format_quantity(value, unit) == text


@pytest.mark.parametrize(
    ("value_s", "text"),
    [
        (0.0372, "37.2 ms"),
        (0.0009996, "1 ms"),
        (4.5e-6, "4.5 \u00b5s"),
        (7e-9, "7 ns"),
        (2e-10, "0.2 ns"),
        (0, "0 s"),
        (1, "1 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (5400, "1.5 h"),
        (-0.002, "-2 ms"),
        (math.nan, "nan s"),
    ],
)
def test_people_read_durations_in_the_unit_they_reach(value_s: float, text: str) -> None:
    assert format_seconds(value_s) == text


def test_a_time_past_its_limit_is_written_in_the_limits_unit() -> None:
    assert (format_seconds(60.6), format_seconds(60.6, 2), format_seconds(0.116, 2)) == ("1.01 min", "60.6 s", "116 ms")
    assert format_seconds(1.5, 0.2) == "1500 ms"


@given(st.floats(1.0, 1e8))
def test_what_is_written_for_people_reads_back_to_half_a_percent(value: float) -> None:
    for dimension in Dimension:
        read_back = parse_quantity(format_quantity(value, dimension.unit), dimension)
        # Three digits, then three again where the scale is no power of ten (minutes, hours).
        assert read_back == pytest.approx(value, rel=0.0101 if dimension is Dimension.SECONDS else 0.0051)
