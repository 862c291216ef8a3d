"""Which tasks show identical images, as tasks arrive, change and leave."""

from pt4al_backend.state.copies import CopyGroup
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import StoredAnswer


def fill(store: Store, frames: str) -> None:
    """One task for each letter, its id the letter's place; equal letters are identical images."""
    store.connect(1)
    ids = range(1, len(frames) + 1)
    store.put_tasks(1, [{"id": i, "image": f"{i}.png", "problem": ""} for i in ids])
    store.set_tasks(1, {"id": list(ids), "row": list(range(len(frames)))})
    store.put_digests(1, dict(zip(ids, frames, strict=True)))


def test_later_tasks_are_copies_of_the_first(store: Store) -> None:
    fill(store, "abacab")
    assert store.origins(1, range(1, 7)) == {3: 1, 5: 1, 6: 2}
    assert store.copy_count(1) == 3
    assert store.copy_groups(1, 10) == [CopyGroup(3, (1, 3, 5)), CopyGroup(2, (2, 6))]
    assert store.copy_groups(1, 1) == [CopyGroup(3, (1, 3, 5))]


def test_what_arrives_later_joins_its_group(store: Store) -> None:
    fill(store, "ab")
    store.put_tasks(1, [{"id": 9, "image": "9.png", "problem": ""}])
    store.put_digests(1, {9: "b"})
    assert store.origins(1, [1, 2, 9]) == {9: 2}


def test_copies_outlive_the_task_that_they_repeat(store: Store) -> None:
    fill(store, "abaa")
    store.drop_tasks(1, [1])
    assert store.origins(1, [2, 3, 4]) == {4: 3}
    store.drop_tasks(1, [4])
    assert store.copy_count(1) == 0


def test_task_with_another_image_leaves_its_group(store: Store) -> None:
    fill(store, "aaa")
    store.put_tasks(1, [{"id": 1, "image": "other.png", "problem": ""}])
    assert store.origins(1, [1, 2, 3]) == {3: 2}
    store.put_digests(1, {1: "a"})  # it shows the same after all
    assert store.origins(1, [1, 2, 3]) == {1: 2, 3: 2}


def test_lost_frame_leaves_its_group(store: Store) -> None:
    fill(store, "aaab")
    store.forget_frames(1, [1, 3])
    assert store.copy_count(1) == 0
    assert store.without_digest(1, 10)[0].tolist() == []
    store.set_tasks(1, {"id": [1, 3], "row": [7, 8]})
    assert [column.tolist() for column in store.without_digest(1, 10)] == [[1, 3], [7, 8]]


def test_pool_waits_for_no_copy_of_an_answered_image(store: Store) -> None:
    fill(store, "aab")
    store.put_answers(1, {2: StoredAnswer(AnswerKind.LABEL, "cat")})
    assert store.has_unanswered(1)
    store.put_answers(1, {3: StoredAnswer(AnswerKind.SKIP)})
    assert not store.has_unanswered(1)
    assert not store.tasks(1).unknown.any()


def test_other_projects_have_groups_of_their_own(store: Store) -> None:
    fill(store, "aa")
    store.connect(2)
    store.put_tasks(2, [{"id": 3, "image": "3.png", "problem": ""}])
    store.put_digests(2, {3: "a"})
    assert (store.copy_count(1), store.copy_count(2)) == (1, 0)
