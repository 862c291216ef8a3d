"""What the tables of a report say."""

import re
from collections.abc import Mapping
from math import nan

import pandas as pd

from pt4al_backend.bench import tables
from pt4al_backend.bench.balance import COLUMNS
from tests.support.runs import curves


def cells(table: str) -> dict[str, list[str]]:
    """Cells by the first of their row."""
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()]
    return {first: rest for first, *rest in rows if not set(first) <= {":", "-"}}


def costs(runs: Mapping[tuple[str, int], Mapping[str, float]]) -> pd.DataFrame:
    """Seconds by (arm, seed) and part."""
    index = pd.MultiIndex.from_tuples(list(runs), names=["arm", "seed"])
    return pd.DataFrame([{"rank": 0.0, **parts} for parts in runs.values()], index=index)


#: Differences of "better" to "random": 2, 3, 4 points at 10 labels, none at 20, and a round more.
CURVES = {
    "random": {0: {10: 0.50, 20: 0.7}, 1: {10: 0.51, 20: 0.7}, 2: {10: 0.52, 20: 0.7}},
    "better": {0: {10: 0.52, 20: 0.7, 30: 0.8}, 1: {10: 0.54, 20: 0.7, 30: 0.8}, 2: {10: 0.56, 20: 0.7}},
    "once": {1: {10: 0.41, 20: 0.65}},
}


def test_values_are_points_with_deviation_and_number_of_seeds() -> None:
    assert cells(tables.values(curves(CURVES))) == {
        "labels": ["10", "20", "30"],
        "random": ["51.0 ± 1.0 (3)", "70.0 ± 0.0 (3)", ""],
        "better": ["54.0 ± 2.0 (3)", "70.0 ± 0.0 (3)", "80.0 ± 0.0 (2)"],
        "once": ["41.0 (1)", "65.0 (1)", ""],
    }


def test_differences_are_tested_from_two_pairs_on() -> None:
    # t = 3 / (1 / √3) with two degrees of freedom
    assert cells(tables.differences(curves(CURVES), "random")) == {
        "labels": ["10", "20", "30"],
        "better": ["**+3.0 ± 1.0**, p = 0.035 (3)", "+0.0 ± 0.0 (3)", ""],
        "once": ["-10.0 (1)", "-5.0 (1)", ""],
    }


def test_a_difference_that_does_not_stand_after_the_correction_is_not_in_bold() -> None:
    twice = {**CURVES, "as good": CURVES["better"]}
    assert cells(tables.differences(curves(twice), "random"))["better"][0] == "+3.0 ± 1.0, p = 0.070 (3)"


def test_areas_are_over_the_budgets_that_all_have_with_an_interval() -> None:
    # differences of the areas: 1, 1.5, 2 points; 1.5 ∓ 4.3027 * 0.5 / √3
    assert cells(tables.areas(curves(CURVES), "random")) == {
        "arm": ["area", "difference", "95 % interval"],
        "random": ["60.5 ± 0.5 (3)", "", ""],
        "better": ["62.0 ± 1.0 (3)", "+1.5 ± 0.5 (3)", "+0.3 to +2.7"],
        "once": ["53.0 (1)", "-7.5 (1)", ""],
    }


def test_wins_count_the_budgets_tested() -> None:
    assert cells(tables.wins(curves(CURVES))) == {
        "row beats column": ["random", "better", "once"],
        "random": ["", "0/1", ""],
        "better": ["1/1", "", ""],
        "once": ["", "", ""],
        "*beaten, mean*": ["100 %", "0 %", ""],
    }


def test_labels_saved_are_interpolated_bounded_or_not_reached() -> None:
    found = {
        "random": {0: {100: 0.4, 200: 0.6}},
        "half-way": {0: {100: 0.4, 200: 0.8}},
        "at once": {0: {100: 0.7}},
        "never": {0: {100: 0.4, 200: 0.59, 300: 0.595}},
    }
    assert cells(tables.saved(curves(found), "random")) == {
        "arm": ["labels to 60.0", "of 200", "95 % interval of labels"],
        "random": ["200 (1)", "1.00", ""],
        "half-way": ["150 (1)", "0.75", ""],
        "at once": ["≤ 100 (1)", "≤ 0.50", ""],
        "never": ["not reached (1)", "", ""],
    }


def test_labels_saved_have_an_interval_of_differences_paired_by_seed() -> None:
    base = {0: {100: 0.4, 200: 0.6}, 1: {100: 0.5, 200: 0.7}}
    same = {seed: {100: curve[100], 200: curve[200] + 0.2} for seed, curve in base.items()}  # half-way, whichever seeds are drawn
    torn = {0: {100: 0.4, 200: 0.59}, 1: {100: 0.7, 200: 0.9}}  # never with one seed, at once with the other
    worse = {seed: {labels: value - 0.1 for labels, value in curve.items()} for seed, curve in base.items()}
    shown = cells(tables.saved(curves({"random": base, "same": same, "torn": torn, "worse": worse}), "random"))
    assert [shown[arm][2] for arm in ("same", "torn", "worse")] == ["", "≤ 100 to > 200", ""]


def test_seconds_count_the_ranking_once_and_compare_whole_runs() -> None:
    parts = {"rank": 100.0, "train": 90.0, "score": 10.0}
    unranked = {"train": 90.0, "score": 10.0}
    slow = {("slow", 0): {**parts, "train": 190.0}, ("slow", 1): {**parts, "train": 290.0}}
    assert cells(tables.seconds(costs({("random", 0): unranked, ("random", 1): unranked, **slow}), 2, "random")) == {
        "arm": ["rank, once", "train, a round", "score, a round", "run of 2", "by random"],
        "random": ["0", "45.0", "5.00", "100 ± 0 (2)", "1.00"],
        "slow": ["100", "120", "5.00", "350 ± 71 (2)", "3.50"],
    }


def test_without_the_baseline_seconds_stand_alone() -> None:
    shown = cells(tables.seconds(costs({("slow", 0): {"rank": 1.0, "train": 2.0}}), 1, "random"))
    assert shown["slow"] == ["1.00", "2.00", "3 (1)", ""]


def test_balance_shows_the_extremes_of_all_seeds() -> None:
    rows = [("random", 0, 10, 1.0, 5, 5), ("random", 1, 10, 0.5, 1, 9), ("random", 1, 20, nan, 0, 0)]
    found = pd.DataFrame(rows, columns=COLUMNS)
    assert cells(tables.balance(found))["random"] == ["0.75 ± 0.35 (1 to 9)", "nan (0 to 0)"]


def test_names_of_arms_do_not_break_the_table() -> None:
    assert cells(tables.values(curves({"a|b": {0: {10: 0.5}}}))) == {"labels": ["10"], "a\\|b": ["50.0 (1)"]}
