"""The encoding of brush regions, against what other programs wrote: label-studio-sdk 2.1.2, and Label Studio's editor."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from pt4al_backend.label_studio.codecs import rle

SDK = json.loads((Path(__file__).parents[1] / "recorded" / "sdk.json").read_text())
COUNT_BITS = (3, 4, 8, 16)

masks = arrays.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40)))
#: Kind of a packet, whether it is a run (of the first value, as often as there are values), and its values.
packets = st.lists(
    st.tuples(st.integers(0, 3), st.booleans(), st.lists(st.integers(0, 255), min_size=1, max_size=8)), max_size=30
)


def pixels(recorded: dict[str, Any]) -> NDArray[np.bool_]:
    """The region that a recorded encoding is of: lengths of its runs, off and on by turns."""
    runs = recorded["runs"]
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(recorded["height"], recorded["width"])


def header(total: int, *, value_bits: int = 8, count_bits: tuple[int, ...] = COUNT_BITS) -> str:
    return f"{total:032b}{value_bits - 1:05b}" + "".join(f"{bits - 1:04b}" for bits in count_bits)


def in_bytes(bits: str) -> list[int]:
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


@pytest.mark.parametrize("recorded", SDK, ids=[each["name"] for each in SDK])
def test_encoding_of_the_sdk_is_decoded(recorded: dict[str, Any]) -> None:
    region = rle.decode(recorded["rle"], recorded["height"], recorded["width"])
    np.testing.assert_array_equal(region, pixels(recorded))


@pytest.mark.parametrize("recorded", SDK[:5], ids=[each["name"] for each in SDK[:5]])
def test_encoding_equals_that_of_the_sdk(recorded: dict[str, Any]) -> None:
    written = rle.encode(pixels(recorded))
    assert recorded["rle"] in (written, [*written, 0])


@given(masks)
def test_every_region_comes_back(region: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(rle.decode(rle.encode(region), *region.shape), region)


@given(packets, st.tuples(*[st.integers(3, 16)] * 4))
def test_every_mixture_of_runs_and_single_values_is_read(found: list[Any], count_bits: tuple[int, ...]) -> None:
    bits, values = "", []
    for kind, is_run, listed in [*found, (0, True, [255] * (4 - sum(len(each[2]) for each in found) % 4))]:
        stored = listed[:1] if is_run else listed
        bits += f"{is_run:b}{kind:02b}{len(listed) - 1:0{count_bits[kind]}b}" + "".join(f"{value:08b}" for value in stored)
        values += listed[:1] * len(listed) if is_run else listed
    region = rle.decode(in_bytes(header(len(values), count_bits=count_bits) + bits), 1, len(values) // 4)
    assert region[0].tolist() == [opacity >= 128 for opacity in values[3::4]]


def test_a_region_longer_than_what_is_parsed_at_a_time_comes_back() -> None:
    region = np.random.default_rng(0).random((256, 512)) < 0.3
    packed = rle.encode(region)
    assert len(packed) > 50_000
    np.testing.assert_array_equal(rle.decode(packed, *region.shape), region)


def test_a_last_run_that_is_too_long_is_cut_off_as_the_editor_does() -> None:
    assert rle.decode(in_bytes(header(4) + "1" + "01" + "1111" + "11111111"), 1, 1).tolist() == [[True]]


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (None, "is not a list of bytes"),
        ("AAAA", "is not a list of bytes"),
        ({"0": 1}, "is not a list of bytes"),
        (10**12, "is not a list of bytes"),
        ([], "ends within its header, after 0 bytes"),
        ([0] * 6, "ends within its header, after 6 bytes"),
        ([0, 0, 0, 40, 57, None, 255, 255], "something else than whole numbers from 0 to 255"),
        ([0, 0, 0, 40, 57, "27", 255, 255], "something else than whole numbers from 0 to 255"),
        ([0, 0, 0, 40, 57, 1.5, 255, 255], "something else than whole numbers from 0 to 255"),
        ([0, 0, 0, 40, 57, -1, 255, 255], "something else than whole numbers from 0 to 255"),
        ([0, 0, 0, 40, 57, 256, 255, 255], "something else than whole numbers from 0 to 255"),
        ([0, 0, 0, 40, 57, 10**40, 255, 255], "something else than whole numbers from 0 to 255"),
        ([255] * 60, "is of 4,294,967,295 values, not of 4 for each of 5 x 2 pixels"),
        (in_bytes(header(10)), "is of 10 values, not of 4 for each of 5 x 2 pixels"),
        (in_bytes(header(40, value_bits=32)), "has values of 32 bits, not of 8"),
        (in_bytes(header(40)), "ends after 0 of 40 values"),
        (in_bytes(header(40) + "1" + "01" + "1111" + "11111111"), "ends after 16 of 40 values"),
        (in_bytes(header(40) + "1" + "11" + "0" * 10), "ends after 0 of 40 values"),
        (in_bytes(header(40) + "0" + "11" + "1" * 16), "ends after 0 of 40 values"),
    ],
)
def test_encoding_of_another_size_is_refused(packed: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        rle.decode(packed, 2, 5)


@given(st.lists(st.integers(0, 255), max_size=60))
def test_any_bytes_are_read_or_refused(tail: list[int]) -> None:
    try:
        region = rle.decode([0, 0, 0, 40, *tail], 2, 5)
    except ValueError:
        return
    assert region.shape == (2, 5)
