"""The one type of job.json: what a change of a setting does to a job, and which stored jobs are still read."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import ValidationError

from pt4al_backend.config import Affects, ProjectSettings
from pt4al_backend.jobs.folder import SPEC, job_of, prepare
from pt4al_backend.jobs.spec import VERSION, JobKind, JobSpec, LearnSpec, ModelSpec, RankSpec, parse
from tests.support.pools import description

FRAMES = Path("/data/frames.u8")

#: Another value of each setting, and what setting it does to a training and to a ranking that are under way ("restarts"),
#: and to the pool's ranking once the round is over ("ranks again").
CHANGES: dict[str, tuple[Any, set[str]]] = {
    "preset": ("paper", set()),
    "rounds": (5, {"training restarts"}),
    "batches": (3, {"training restarts"}),
    "query_size": (7, set()),
    "reserve_size": (7, set()),
    "control_share": (0.2, set()),
    "control": ("species", {"training restarts"}),
    "accept_config": ("0123abcd", set()),
    "strategy": ("margin", {"training restarts"}),
    "first_query": ("top_k", set()),
    "sampler": ("entropy", {"training restarts"}),
    "batch_order": ("hard_first", {"training restarts"}),
    "pretext": ("jigsaw", {"training restarts", "ranking restarts", "ranks again"}),
    "pretext_epochs": (3, {"ranking restarts"}),
    "pretext_holdout": (0.2, {"ranking restarts"}),
    "encoder": ("resnet34", {"training restarts", "ranking restarts", "ranks again"}),
    "tuning": ("full", {"training restarts", "ranking restarts", "ranks again"}),
    "architecture": ("deeplabv3", {"training restarts", "ranking restarts", "ranks again"}),
    "unlabelled": ("ignore", {"training restarts"}),
    "background": ("road", {"training restarts"}),
    "uncertain_share": (0.5, {"training restarts"}),
    "init": ("fresh", {"training restarts", "ranking restarts"}),
    "warm_start": (True, {"training restarts"}),
    "epochs": (3, {"training restarts"}),
    "companion_steps": (3, {"training restarts"}),
    "schedule": ("step", {"training restarts"}),
    "learning_rate": (0.01, {"training restarts", "ranking restarts"}),
    "minibatch_size": (4, {"training restarts"}),
    "class_weights": ("balanced", {"training restarts"}),
    "image_size": (64, set()),  # by the shape of the frames that it asks for
    "width": (8, {"training restarts", "ranking restarts", "ranks again"}),
    "refill_below": (100, set()),
    "refill_size": (100, set()),
    "show_predictions": (False, set()),
    "train_on_accepted": (False, set()),
    "seed": (1, {"training restarts", "ranking restarts"}),
}

COMMON: dict[str, Any] = {
    "task": "classification",
    "device": "cpu",
    "pretrained": "off",
    "frames": FRAMES,
    "stored": (16, 16),
    "shape": (16, 16),
}


def rank_job(**settings: Any) -> RankSpec:
    return RankSpec(settings=ProjectSettings(**settings), **COMMON)


def learn_job(**settings: Any) -> LearnSpec:
    return LearnSpec(settings=ProjectSettings(**settings), classes=("cat", "dog"), **COMMON)


@pytest.mark.parametrize("name", ProjectSettings.model_fields)
def test_setting_restarts_and_ranks_again_what_it_decides(name: str) -> None:
    value, expected = CHANGES[name]
    changed = {name: value}
    found = set()
    if not learn_job().is_current(learn_job().changed(**changed)):
        found.add("training restarts")
    if not rank_job().is_current(rank_job().changed(**changed)):
        found.add("ranking restarts")
    if not rank_job().same_for(rank_job().changed(**changed), Affects.RANKING):
        found.add("ranks again")
    assert found == expected


@pytest.mark.parametrize("name", sorted(ProjectSettings.model_fields.keys() - {"preset"}))
def test_every_setting_declares_what_it_affects(name: str) -> None:
    assert name in ProjectSettings.affecting(*Affects)


@pytest.mark.parametrize(
    "change",
    [
        {"device": "cuda"},
        {"shape": (8, 8)},
        {"frames": Path("/elsewhere")},
        {"masks": Path("/masks")},
        {"task": "segmentation"},
        {"classes": ("cat",)},
        {"outputs": ("features",)},
        {"companion": "vaal"},
        {"best_epoch": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_training_on_other_terms_is_not_current(change: dict[str, Any]) -> None:
    assert not learn_job().is_current(learn_job().model_copy(update=change))


@pytest.mark.parametrize(
    "change", [{"learner": Path("/learner")}, {"previous": Path("/model")}, {"query_size": 9}, {"digest": "of more labels"}]
)
def test_training_keeps_what_grew_since_for_the_next_one(change: dict[str, Any]) -> None:
    assert learn_job().is_current(learn_job().model_copy(update=change))


def test_ranking_is_current_whatever_features_are_wanted_since() -> None:
    assert rank_job().is_current(rank_job().model_copy(update={"outputs": ("features",)}))


def test_kinds_are_never_each_other() -> None:
    assert not rank_job().is_current(learn_job())


@pytest.mark.parametrize("kind", JobKind)
def test_job_is_read_as_it_was_written(tmp_path: Path, kind: JobKind) -> None:
    job = description(
        kind, tmp_path / "frames", outputs=("features",), learner=tmp_path / "learner", settings={"strategy": "vaal"}
    )
    prepare(tmp_path / "job", job, rows=np.arange(3))
    assert job_of(tmp_path / "job") == job
    assert json.loads((tmp_path / "job" / SPEC).read_text())["version"] == VERSION


def test_job_of_the_version_before_is_stale_and_prepared_again(tmp_path: Path) -> None:
    job = rank_job()
    folder = tmp_path / "rank-1"
    folder.mkdir()
    before = {
        "kind": "rank",
        "task": "classification",
        "masks": "/masks",
        "project": 1,
        "settings": ProjectSettings().model_dump(mode="json"),
        "device": "cpu",
        "pretrained": "off",
        "pixels": str(FRAMES),
        "stored": [16, 16],
        "shape": [16, 16],
        "learner": None,
        "outputs": [],
    }
    (folder / SPEC).write_text(json.dumps(before))
    assert job_of(folder) is None
    prepare(folder, job, rows=np.arange(3))
    assert job_of(folder) == job


@pytest.mark.parametrize("text", ["", "[]", "3", "not json", "{}", '{"version": 2}', '{"version": 2, "kind": "sing"}'])
def test_text_that_is_no_job_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / SPEC).write_text(text)
    assert job_of(tmp_path) is None


def test_job_tolerates_settings_that_came_or_went_and_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PT4AL_EPOCHS", "7")
    text = json.loads(learn_job(rounds=4).model_dump_json())
    del text["settings"]["epochs"]
    text["settings"] |= {"gone": 1, "strategy": "a_rule_that_is_gone"}
    found = parse(json.dumps(text))
    assert (found.settings.epochs, found.settings.rounds, found.settings.strategy) == (None, 4, "a_rule_that_is_gone")
    assert not found.is_current(learn_job(rounds=4))


def test_field_or_value_that_a_job_cannot_have_is_refused() -> None:
    for change in ({"pixels": "/frames"}, {"outputs": ("losses",)}, {"device": "tpu"}, {"settings": "default"}):
        with pytest.raises(ValidationError):
            RankSpec(**{"settings": ProjectSettings(), **COMMON, **change})


def test_spec_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        rank_job().task = "segmentation"


def test_family_has_a_member_for_each_kind() -> None:
    family = [each for each in (*JobSpec.__subclasses__(), *ModelSpec.__subclasses__()) if each is not ModelSpec]
    kinds = [get_args(each.model_fields["kind"].annotation)[0] for each in family]
    assert sorted(kinds) == sorted(JobKind)
