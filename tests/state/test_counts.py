"""The counts of a project's tasks agree with its tasks, whatever changes these."""

from collections import Counter

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from pt4al_backend.measures import PretextQuality
from pt4al_backend.state.schema import AnswerKind
from pt4al_backend.state.store import Store
from pt4al_backend.state.tasks import Ranking, StoredAnswer

TASKS = 1_200  # more than two slices
LABEL, SKIP, NONE = StoredAnswer(AnswerKind.LABEL, "cat"), StoredAnswer(AnswerKind.SKIP), StoredAnswer(AnswerKind.NONE)


def agree(store: Store, project: int = 1) -> None:
    """Holds the counts against the tasks themselves."""
    pool, counts = store.tasks(project), store.counts(project)
    by_task = {
        "tasks": len(pool),
        "pool": (~pool.aside).sum(),
        "fetched": (pool.rows >= 0).sum(),
        "scored": (~np.isnan(pool.losses)).sum(),
        "labelled": pool.labelled.sum(),
    }
    assert {name: counts[name] for name in by_task} == by_task
    assert (store.task_count(project), store.pool_count(project)) == (counts["tasks"], counts["pool"])
    of = Counter(pool.batches[pool.batches > 0].tolist())
    assert store.batch_sizes(project) == [of[batch] for batch in range(1, max(of, default=0) + 1)]


@pytest.fixture
def pool(store: Store) -> Store:
    for project in (1, 2):
        store.connect(project)
        store.put_tasks(project, [{"id": i, "image": f"{i}.png", "problem": ""} for i in range(1, TASKS + 1)])
        store.set_tasks(project, {"id": range(1, 1_001), "row": range(1_000)})
    return store


def test_counts_follow_all_that_changes_tasks(pool: Store) -> None:
    ids, project = np.arange(1, 1_001), pool.project(1)
    assert project is not None
    pool.adopt_ranking(project, Ranking(ids, ids / 7, ids[:900], ids[:900] % 5 + 1, "rank-1", PretextQuality(meaningful=True)))
    agree(pool)
    pool.put_answers(1, {**dict.fromkeys(range(1, 601), LABEL), **dict.fromkeys((700, 701, 5_000), SKIP)})
    agree(pool)
    pool.set_tasks(1, {"id": [3, 700, 1_100], "problem": ["Gone.", "Gone.", ""], "batch": [1, 5, 2]})
    agree(pool)
    pool.put_tasks(1, [{"id": i, "image": "another.png", "problem": ""} for i in (2, 3, 1_201)])
    agree(pool)
    pool.put_answers(1, dict.fromkeys(range(1, 100), NONE))
    pool.forget_frames(1, [10, 11])
    pool.drop_tasks(1, range(1, 700))
    agree(pool)
    pool.clear_tasks(1, row=None, loss=None, batch=0)
    agree(pool)
    assert pool.batch_sizes(1) == []
    agree(pool, 2)


def test_counts_of_a_forgotten_project_go_with_it(pool: Store) -> None:
    project = pool.project(1)
    assert project is not None
    pool.forget(project)
    pool.connect(1)
    assert set(pool.counts(1).values()) == {0}
    agree(pool, 2)


def test_change_that_fails_is_not_counted(pool: Store) -> None:
    with pytest.raises(Exception, match="no_such_column"):
        pool.set_tasks(1, {"id": [1, 2], "problem": ["Gone.", "Gone."], "no_such_column": [1, 2]})
    agree(pool)


def test_counts_that_an_earlier_version_did_not_keep_up_are_found_to_be_wrong(pool: Store, url: str) -> None:
    assert pool.correct_counts(1)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE tasks SET problem = 'Gone.', batch = 2 WHERE id <= 700"))
    engine.dispose()
    assert not pool.correct_counts(1)
    agree(pool)
    assert pool.batch_sizes(1) == [0, 700]
    assert pool.correct_counts(1)
