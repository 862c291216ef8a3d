"""Two people who change settings at once. That changes reach Label Studio at all is in tests/integration."""

from pt4al_backend.config import ServerSettings
from pt4al_backend.engine import extra_params
from pt4al_backend.errors import NotNow
from pt4al_backend.state.store import Store
from tests.support.filled import PROJECT, fill
from tests.support.stub_server import Reply, Request, stub_server


def test_change_while_another_is_being_written_is_refused(store: Store, settings: ServerSettings) -> None:
    fill(store, settings)
    project = store.project(PROJECT)
    assert project is not None
    read = extra_params.version_of({})
    refused: list[NotNow] = []

    def label_studio(request: Request) -> Reply:
        if request.path.endswith("/health"):
            return Reply(200, {"instance": store.instance().id})
        entry = {"id": 3, "url": f"http://{request.headers['Host']}/ours", "title": "PT4AL", "extra_params": {}}
        if (
            request.method == "PATCH" and "rounds" in request.json["extra_params"]
        ):  # it has not written yet: who reads now sees what was there before
            try:
                extra_params.write(there, store, project, read, {"seed": "7"})
            except NotNow as error:
                refused.append(error)
        return Reply(200, entry if request.method == "PATCH" else [entry])

    with stub_server(label_studio) as (url, seen):
        there = settings.model_copy(update={"label_studio_url": url, "label_studio_api_key": "f" * 40})
        written = extra_params.write(there, store, project, read, {"rounds": "5"})
        assert written == {"rounds": 5}
        assert [request.json["extra_params"] for request in seen if request.method == "PATCH"] == ['{"rounds": 5}']
        assert ["at this moment" in each.message for each in refused] == [True]
        assert extra_params.write(there, store, project, read, {"seed": "7"}) == {"seed": 7}
