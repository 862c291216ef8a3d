"""``pt4al doctor``: checks everything that has to be right for the loop to run, and says what to change.

Every check has a time limit and none stops the others. Nothing is changed: the one request that a worker is sent, to see
whether there is one, only costs it a look.
"""

from collections.abc import Iterator

from pt4al_backend.config import ServerSettings
from pt4al_backend.ops.doctor import access, connection, machine, project
from pt4al_backend.ops.doctor.context import ConnectionContext, ProjectContext, ServerContext
from pt4al_backend.ops.doctor.finding import Check, Finding, run, run_each

#: Groups of checks by topic. The later ones of a group need the first, and are left out unless it is well.
SERVER_CHECKS: tuple[dict[str, Check[ServerContext]], ...] = (
    {"Settings": machine.project_defaults},
    {"Data folder": machine.data_folder},
    {"Artefact store": machine.artefact_store},
    {"State": machine.state, "Worker": machine.worker},
    {"Runner": machine.runner},
    {"Device": machine.device},
    {"ImageNet weights": machine.weights},
    {"Access": machine.access},
    {"Label Studio": access.label_studio, "Token": access.token},
)
#: Of a project, here; in Label Studio; and of each ML backend that it lists there.
PROJECT_CHECKS: tuple[Check[ProjectContext], ...] = (project.last_error, project.params, project.encoder)
LABEL_STUDIO_CHECKS: tuple[Check[ProjectContext], ...] = (project.image, project.served, connection.connected)
CONNECTION_CHECKS: tuple[Check[ConnectionContext], ...] = (connection.login, connection.reachable, connection.webhook)


def examine(settings: ServerSettings, project_id: int | None = None) -> Iterator[Finding]:
    """Makes all checks, one finding each: of the server, then of every connected project or of the one given."""
    server = ServerContext(settings, project_id)
    label_studio_failed = False
    for group in SERVER_CHECKS:
        for topic, check in group.items():
            finding = run(topic, check, server)
            yield finding
            label_studio_failed |= check is access.label_studio and finding.level == "fail"
            if finding.level != "ok":
                break
    for number, known in server.projects.items():
        if known is None or server.store is None:
            yield Finding("fail", f"Project {number}", "It is not connected.", "Connect it in Label Studio, Settings > Model.")
            continue
        if known.let_go_at is not None:
            remedy = f"Connect it again in Settings > Model, or drop what is kept of it: pt4al forget {number}."
            yield Finding("warn", f"Project {number}", "It is not connected any more, so it is left alone.", remedy)
            continue
        context = ProjectContext(settings, server.store, known)
        yield from run_each(context.topic, PROJECT_CHECKS, context)
        if not label_studio_failed:  # its own finding has the remedy
            yield from _in_label_studio(context)


def _in_label_studio(context: ProjectContext) -> Iterator[Finding]:
    reached = run(context.topic, project.reached, context)
    if reached.level != "ok":
        yield reached
        return
    yield from run_each(context.topic, LABEL_STUDIO_CHECKS, context)
    for backend in context.listed_backends:
        each = ConnectionContext(context, backend)
        identified = run(context.topic, connection.ours, each)
        if identified.level != "ok":
            yield identified
            continue
        yield from run_each(context.topic, CONNECTION_CHECKS, each)
