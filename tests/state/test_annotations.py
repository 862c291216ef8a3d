"""Who annotated when: counts by annotator and by quarter of an hour."""

from pt4al_backend.state.annotations import Annotated, AnnotatorCount, QuarterCount
from pt4al_backend.state.store import Store

HOUR = 1_800_000_000 // 3600  # whole hours since 1970
AT = 3600 * HOUR


def filled(store: Store) -> None:
    store.connect(1)
    store.connect(2)
    store.put_tasks(1, [{"id": i, "image": f"{i}.png", "problem": ""} for i in (1, 2, 3)])
    store.put_annotations(
        1,
        {
            1: [Annotated(11, 4, AT, False), Annotated(12, 5, AT + 899, False)],
            2: [Annotated(13, 4, AT + 900, False)],
            3: [Annotated(14, 5, AT + 4000, True), Annotated(15, None, AT - 1, False)],
        },
    )
    store.put_annotations(2, {1: [Annotated(21, 4, AT, False)]})


def test_labels_are_counted_by_annotator_and_quarter_and_skips_are_none(store: Store) -> None:
    filled(store)
    assert store.labels_since(1, AT) == [
        QuarterCount(4, 4 * HOUR, 1),
        QuarterCount(5, 4 * HOUR, 1),
        QuarterCount(4, 4 * HOUR + 1, 1),
    ]
    assert store.labels_since(1, AT + 1)[-1] == QuarterCount(4, 4 * HOUR + 1, 1)
    assert store.labels_since(1, AT + 5000) == []


def test_annotators_are_listed_by_what_they_labelled(store: Store) -> None:
    filled(store)
    found = store.annotators(1)
    assert found[0] == AnnotatorCount(4, 2, 0, AT + 900)
    assert {each.annotator: (each.labels, each.skips) for each in found[1:]} == {5: (1, 1), None: (1, 0)}


def test_annotations_are_replaced_task_by_task(store: Store) -> None:
    filled(store)
    store.put_annotations(1, {1: [Annotated(16, 6, AT, False)], 2: ()})
    assert {task: {each.id for each in those} for task, those in store.annotations(1, [1, 2, 3]).items()} == {
        1: {16},
        3: {14, 15},
    }


def test_annotations_go_with_their_task_and_their_project(store: Store) -> None:
    filled(store)
    store.drop_tasks(1, [3])
    assert list(store.annotations(1, [1, 2, 3])) == [1, 2]
    store.forget(store.project(1))
    assert store.annotators(1) == []
    assert len(store.annotators(2)) == 1
