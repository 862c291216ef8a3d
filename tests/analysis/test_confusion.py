"""Which labels a model takes for which."""

import numpy as np

from pt4al_backend.analysis.confusion import pairs

LABELS = np.array([0, 0, 0, 1, 1, 7, 7, 7, 9_999])
ANSWERS = np.array([0, 0, 1, 1, 1, 0, 0, 7, 9_999])


def test_pairs_are_counted() -> None:
    found = pairs(LABELS, ANSWERS)
    assert found.counts.sum() == len(LABELS)
    worst = found.mistakes
    assert [(found.labels[k], found.answers[k], found.counts[k]) for k in worst] == [(7, 0, 2), (0, 1, 1)]


def test_table_has_a_row_for_each_label_and_a_column_for_each_answer() -> None:
    found = pairs(LABELS, ANSWERS)
    assert found.table(np.array([0, 1, 7])).tolist() == [[2, 1, 0], [0, 2, 0], [2, 0, 1]]


def test_classes_with_the_most_mistakes_have_their_place_in_a_small_table() -> None:
    found = pairs(LABELS, ANSWERS)
    assert found.worst(2).tolist() == [0, 7]
    assert found.worst(10).tolist() == [0, 1, 7, 9_999]


def test_nothing_gives_an_empty_table() -> None:
    found = pairs(np.empty(0, np.int64), np.empty(0, np.int64))
    assert found.worst(5).tolist() == []
    assert found.table(found.worst(5)).shape == (0, 0)
