"""The rule that reconciles annotators."""

import pytest

from pt4al_backend.label_studio.agreement import winner


@pytest.mark.parametrize(
    ("answers", "expected"),
    [("a", "a"), ("aab", "a"), ("ab", "b"), ("abba", "a"), ("abbaac", "a"), ("abc", "c")],
    ids=["one", "majority", "tie of two", "tie of two pairs", "majority among three", "tie of three"],
)
def test_majority_wins_and_the_newest_on_a_tie(answers: str, expected: str) -> None:
    assert winner(answers) == expected
