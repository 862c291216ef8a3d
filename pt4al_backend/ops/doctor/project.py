"""Checks of one project: its settings here, and its images and its serving in Label Studio."""

from pt4al_backend.config import project_settings
from pt4al_backend.engine.access import fetcher_for
from pt4al_backend.engine.labeling_config import control_of, in_force, wanted
from pt4al_backend.errors import ConfigError, ImageUnreadable, LabelConfigUnsupported
from pt4al_backend.images.decode import decode
from pt4al_backend.label_studio.annotations import image_of
from pt4al_backend.label_studio.registration import SAMPLING
from pt4al_backend.ops.doctor.context import ProjectContext
from pt4al_backend.ops.doctor.finding import CheckFailed, CheckWarns
from pt4al_backend.phases import PHASES
from pt4al_backend.query import plan

IMAGES = 3  # tasks whose image is tried; one that can be read is enough


def last_error(context: ProjectContext) -> str:
    """Nothing went wrong when a worker looked last."""
    if context.project.error:
        raise CheckFailed(f"The last error: {context.project.error}", context.project.remedy)
    return ""


def params(context: ProjectContext) -> str:
    """The extra params are valid, and fit the labeling config."""
    project = context.project
    options = project_settings(project.params)
    if project.label_config:
        plan.require_fit(options, in_force(project).task)
    if waiting := project.notices.get("config"):
        raise CheckWarns(str(waiting), "Decide it in Label Studio, Settings > Labeling Interface, or in the extra params.")
    given = ", ".join(sorted(project.params)) or "none"
    return f"{project.title!r}: {PHASES.get(project.phase, project.phase)}; extra params: {given}"


def encoder(context: ProjectContext) -> str:
    """The weights of the project's pretrained encoder, if it has one, are here or can be downloaded."""
    project = context.project
    try:
        options = plan.for_task(project_settings(project.params), in_force(project).task, project.encoder)
    except (ConfigError, LabelConfigUnsupported):
        return ""  # reported with the extra params
    name = options.pretrained_encoder
    if not name:
        if sentence := project.notices.get("no encoder"):
            raise CheckWarns(str(sentence), "`pt4al weights list` prints some encoders, and where their weights are.")
        return ""
    from pt4al_backend.learn.networks.timm_encoder import licence_of
    from pt4al_backend.learn.weights.pretrained import found

    weights = found(name, context.settings.weights_dir)
    if weights is not None:
        origin = f"{weights.file} ({weights.source}, SHA-256 {weights.digest})"
        return f"encoder {name}, licence {licence_of(name)}, weights in {origin}"
    remedy = f"Run `pt4al weights fetch {name} --to DIR` where there is a network, and name that folder with PT4AL_WEIGHTS_DIR."
    if context.settings.pretrained == "off":
        raise CheckFailed(f"The weights of the encoder {name} are not on this machine, and PT4AL_PRETRAINED is off.", remedy)
    raise CheckWarns(f"The weights of the encoder {name} are not on this machine: they are downloaded when first needed.", remedy)


def reached(context: ProjectContext) -> str:
    """Label Studio shows the project."""
    return "" if context.remote else "Label Studio shows an empty project"


def image(context: ProjectContext) -> str:
    """One of the first tasks' images can be fetched and decoded."""
    config = wanted(context.project, str(context.remote.get("label_config") or ""), control_of(context.project))
    tasks = next(context.client.task_pages(context.project.id, page_size=IMAGES), [])
    if not tasks:
        raise CheckWarns("There is no task yet.", "Import images.")
    problem = ""
    with fetcher_for(context.settings, context.project, config) as fetcher:
        for task in tasks[:IMAGES]:
            try:
                data = fetcher.fetch(image_of(task.get("data") or {}, config), task["id"])
                decoded = decode(data, context.settings.image_max_pixels).image
            except ImageUnreadable as error:
                problem = problem or f"Task {task['id']}: {error}"
                continue
            return f"the image of task {task['id']} was fetched and decoded, {decoded.width} x {decoded.height}"
    raise CheckFailed("No image of the first tasks can be used.", problem)


def served(context: ProjectContext) -> str:
    """The project serves the queue, and in its order."""
    wanted, remote = context.project.served_version, context.remote
    version, sampling = remote.get("model_version"), remote.get("sampling")
    if not wanted:
        return f"nothing is published yet; task sampling is {sampling!r}"
    if sampling != SAMPLING:
        remedy = f"The next round sets it to {SAMPLING!r}; or choose that in Settings > General > Task Sampling."
        raise CheckFailed(f"Task sampling is {sampling!r}, so the queue's order is not used.", remedy)
    if version != wanted:
        remedy = f"Choose {wanted!r} in Settings > Predictions, or Settings > Model."
        raise CheckFailed(f"The project serves predictions of {version!r}, not PT4AL's queue {wanted!r}.", remedy)
    return f"task sampling is {sampling!r}, model version {wanted!r} is served"
