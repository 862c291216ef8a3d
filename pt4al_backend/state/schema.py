"""The tables of the state, for SQLite and PostgreSQL alike. Changes go through a migration in ``migrations/versions``."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypedDict

from sqlalchemy import JSON, BigInteger, Boolean, Float, ForeignKey, Index, Integer, String, Text, inspect, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pt4al_backend.measures import Control, FullModel, PretextQuality
from pt4al_backend.phases import Phase
from pt4al_backend.pick_kinds import PickKind
from pt4al_backend.progress import Progress
from pt4al_backend.state.columns import JsonOf, text_of


class AnswerKind(StrEnum):
    """What annotators did with a task. One that they answered without a label that counts is skipped."""

    NONE = "none"
    LABEL = "label"
    SKIP = "skip"


class RoundState(StrEnum):
    """How far a round is."""

    STARTING = "starting"  # serves control picks and a uniform reserve while the pool is ranked
    OPEN = "open"
    CLOSED = "closed"


class PublicationState(StrEnum):
    """What Label Studio knows of a model version."""

    SENDING = "sending"
    LIVE = "live"
    OLD = "old"
    PRUNED = "pruned"  # its predictions are deleted


class ActionKind(StrEnum):
    """What a person can do to a project."""

    TRAIN = "train"
    PAUSE = "pause"
    RESUME = "resume"
    CLOSE_ROUND = "close round"
    ADD_CONTROL_PICKS = "add control picks"
    LABEL_NEXT = "label next"
    WITHDRAW_CHOICES = "withdraw choices"
    PUT_BACK = "put back"
    CHANGE_SETTINGS = "change settings"
    SHOW_TASKS = "show tasks"


class Base(DeclarativeBase):
    """Root of the tables. Times are seconds since 1970 in UTC."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own convention
        dict[str, Any]: JSON,
        dict[str, str]: JSON,
        list[str]: JSON,
        AnswerKind: text_of(AnswerKind),
        PickKind: text_of(PickKind),
        RoundState: text_of(RoundState),
        PublicationState: text_of(PublicationState),
        Progress: JsonOf(Progress),
        PretextQuality: JsonOf(PretextQuality),
        Control: JsonOf(Control),
        FullModel: JsonOf(FullModel),
    }


class Instance(Base):
    """The one row that tells this backend from others. Every process that shares the state is the same backend."""

    __tablename__ = "instance"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)  # /health gives it to everybody
    webhook_secret: Mapped[str] = mapped_column(String(64))  # opens /webhook, and nothing else


class Project(Base):
    """One Label Studio project that connected the backend, and where its loop stands.

    A row that the store gave away is read-only: ``Store.change`` changes the database and the row together.
    """

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    identity: Mapped[str] = mapped_column(String(32), default="")  # of this connection, in names; "": older than such names
    title: Mapped[str] = mapped_column(Text, default="")
    label_config: Mapped[str] = mapped_column(Text, default="")
    params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    hostname: Mapped[str] = mapped_column(Text, default="")  # how Label Studio names itself
    access_token: Mapped[str] = mapped_column(Text, default="")  # of that address; used only if the admin set none
    backend_host: Mapped[str] = mapped_column(Text, default="")  # the name under which Label Studio reaches this backend
    setup_at: Mapped[float] = mapped_column(Float, default=0.0)  # about when the last /setup came
    listed: Mapped[bool] = mapped_column(Boolean, default=False)  # whether Label Studio has listed the backend since it connected
    let_go_at: Mapped[float | None] = mapped_column(Float)  # since when it does not any more; None: the project is driven
    chosen_before: Mapped[dict[str, Any]] = mapped_column(default=dict)  # fields of Label Studio's project before we set them

    phase: Mapped[str] = mapped_column(String(32), default=Phase.CONNECTED)
    progress: Mapped[Progress] = mapped_column(default=Progress)
    notices: Mapped[dict[str, str]] = mapped_column(default=dict)  # topic -> sentence for the user
    error: Mapped[str] = mapped_column(Text, default="")
    remedy: Mapped[str] = mapped_column(Text, default="")
    error_at: Mapped[float | None] = mapped_column(Float)

    requests: Mapped[int] = mapped_column(Integer, default=0)  # counts the requests for a reconcile
    requests_handled: Mapped[int] = mapped_column(Integer, default=0)  # the last of them that a reconcile has handled
    trainings_requested: Mapped[int] = mapped_column(Integer, default=0)  # counts presses of Start Training
    trainings_handled: Mapped[int] = mapped_column(Integer, default=0)  # the last press that was handled

    device_wanted_at: Mapped[float | None] = mapped_column(Float)  # since when a training waits for the device; None: none does

    paused_at: Mapped[float | None] = mapped_column(Float)  # since when a person has paused it; None: it goes on
    to_put_back: Mapped[bool] = mapped_column(Boolean, default=False)  # Label Studio is to get back what people had chosen there
    round_to_close: Mapped[int] = mapped_column(Integer, default=0)  # the round that a person closes, whatever it waits for
    choices_requested: Mapped[int] = mapped_column(Integer, default=0)  # counts the lists of tasks that people chose
    choices_handled: Mapped[int] = mapped_column(Integer, default=0)  # the last of them that the open round begins with

    view_made: Mapped[bool] = mapped_column(Boolean, default=False)  # once: people may delete the Data Manager's tab
    synced_until: Mapped[str] = mapped_column(String(40), default="")  # Label Studio's clock: newest updated_at seen
    full_sync_at: Mapped[float] = mapped_column(Float, default=0.0)
    full_sync_took: Mapped[float] = mapped_column(Float, default=0.0)  # seconds of the last full pass
    config_read: Mapped[str] = mapped_column(Text, default="")  # the labeling config that images and labels were read by
    control_read: Mapped[str] = mapped_column(Text, default="")  # name of the tag in it that was learned
    task: Mapped[str] = mapped_column(String(32), default="")  # the main task that the images are stored for
    requested_size: Mapped[int | None] = mapped_column(Integer)  # the setting image_size that the shapes were chosen by
    image_height: Mapped[int | None] = mapped_column(Integer)  # of the frames that networks are trained on
    image_width: Mapped[int | None] = mapped_column(Integer)
    stored_height: Mapped[int | None] = mapped_column(Integer)  # of the frames in the frame file
    stored_width: Mapped[int | None] = mapped_column(Integer)
    next_row: Mapped[int] = mapped_column(Integer, default=0)  # of the frame file: no row is given to a second image
    frames_suspect: Mapped[bool] = mapped_column(Boolean, default=False)  # a row was damaged: all are checked

    encoder: Mapped[str] = mapped_column(Text, default="")  # what was chosen where the settings name none; "": nothing yet
    learner: Mapped[str] = mapped_column(Text, default="")  # artefact of the pretext learner
    learner_pool: Mapped[int] = mapped_column(Integer, default=0)  # images it was trained on
    quality: Mapped[PretextQuality] = mapped_column(default=PretextQuality)  # whether the pretext means anything here
    model: Mapped[str] = mapped_column(Text, default="")  # artefact of the last good model of a round
    full_model: Mapped[FullModel] = mapped_column(default=FullModel)  # what is served instead of it (see ``engine.served_model``)
    round: Mapped[int] = mapped_column(Integer, default=0)
    served_version: Mapped[str] = mapped_column(String(64), default="")

    def __setattr__(self, name: str, value: object) -> None:
        if name in type(self).__table__.columns and inspect(self).detached:
            raise AttributeError(f"Project.{name} is read-only here; Store.change changes it.")
        super().__setattr__(name, value)

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Shape of the frames that networks are trained on; None before the first image was read."""
        return (self.image_height, self.image_width) if self.image_height and self.image_width else None

    @property
    def stored_shape(self) -> tuple[int, int] | None:
        """Shape of the frames in the frame file; None before the first image was read."""
        return (self.stored_height, self.stored_width) if self.stored_height and self.stored_width else None


class ProjectColumns(TypedDict, total=False):
    """Columns of ``Project`` by name, as the store's methods take them."""

    title: str
    label_config: str
    params: dict[str, Any]
    hostname: str
    access_token: str
    backend_host: str
    setup_at: float
    listed: bool
    let_go_at: float | None
    chosen_before: dict[str, Any]
    phase: str
    progress: Progress
    notices: dict[str, str]
    error: str
    remedy: str
    error_at: float | None
    requests: int
    requests_handled: int
    trainings_requested: int
    trainings_handled: int
    device_wanted_at: float | None
    paused_at: float | None
    to_put_back: bool
    round_to_close: int
    choices_requested: int
    choices_handled: int
    view_made: bool
    synced_until: str
    full_sync_at: float
    full_sync_took: float
    config_read: str
    control_read: str
    task: str
    requested_size: int | None
    image_height: int | None
    image_width: int | None
    stored_height: int | None
    stored_width: int | None
    next_row: int
    frames_suspect: bool
    learner: str
    encoder: str
    learner_pool: int
    quality: PretextQuality
    model: str
    full_model: FullModel
    round: int
    served_version: str


class Forgotten(Base):
    """One connection of a project that was forgotten: each host deletes its files of it when it hears of that.

    Kept for good, as nobody knows which hosts there are, and how long one has been away: a row costs each a look for a folder.
    """

    __tablename__ = "forgotten"

    project_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    identity: Mapped[str] = mapped_column(String(32), primary_key=True)
    shared: Mapped[bool] = mapped_column(Boolean)  # whether the artefact store may still have files of it


#: What a task may lack or be left out for, in words that both databases find their partial index by: no bound parameters.
LACKING: Mapping[str, str] = {
    "unfetched": "\"row\" IS NULL AND image <> ''",
    "unranked": '"row" IS NOT NULL AND loss IS NULL',
    "unanswered": "answer = 'none'",
    "undigested": "\"row\" IS NOT NULL AND frame = ''",
    "left_out": "(problem <> '' OR note <> '')",
    "altered": "image_note <> ''",
}


#: Which tasks are copies, in such words.
COPIES = "copy_of IS NOT NULL"


class Task(Base):
    """One task of the pool: its image, its pretext loss and batch, and its annotators' answer."""

    __tablename__ = "tasks"
    __table_args__ = (
        *(
            Index(f"tasks_{name}", "project_id", "id", sqlite_where=text(lacking), postgresql_where=text(lacking))
            for name, lacking in LACKING.items()
        ),
        Index("tasks_copies", "project_id", "copy_of", "id", sqlite_where=text(COPIES), postgresql_where=text(COPIES)),
        Index("tasks_frame", "project_id", "frame"),
    )

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    image: Mapped[str] = mapped_column(Text, default="")
    row: Mapped[int | None] = mapped_column(Integer)  # place in the frame file
    frame: Mapped[str] = mapped_column(String(32), default="")  # digest of what is there: equal where images are identical
    copy_of: Mapped[int | None] = mapped_column(BigInteger)  # the first task with an equal frame; None: it is that task itself
    width: Mapped[int | None] = mapped_column(Integer)  # of the image as it was fetched, upright
    height: Mapped[int | None] = mapped_column(Integer)
    problem: Mapped[str] = mapped_column(Text, default="")  # why it is set aside
    image_note: Mapped[str] = mapped_column(Text, default="")  # what was done to its image, which is used all the same
    retry_at: Mapped[float | None] = mapped_column(Float)  # when an image that may be readable again is fetched once more
    loss: Mapped[float | None] = mapped_column(Float(53))
    batch: Mapped[int] = mapped_column(Integer, default=0)  # 1..I, 0: not ranked yet
    answer: Mapped[AnswerKind] = mapped_column(default=AnswerKind.NONE)
    label: Mapped[str] = mapped_column(Text, default="")
    accepted: Mapped[bool] = mapped_column(default=False)  # a prediction submitted unchanged
    note: Mapped[str] = mapped_column(Text, default="")  # which of its annotations do not count, and why
    stamp: Mapped[str] = mapped_column(String(40), default="")  # of the annotations that the last four were read from


class BatchCounts(Base):
    """How many tasks of one batch are how far (see ``counts``)."""

    __tablename__ = "batch_counts"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    batch: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    tasks: Mapped[int] = mapped_column(BigInteger)
    pool: Mapped[int] = mapped_column(BigInteger)  # whose image can be used
    fetched: Mapped[int] = mapped_column(BigInteger)
    scored: Mapped[int] = mapped_column(BigInteger)
    labelled: Mapped[int] = mapped_column(BigInteger)
    skipped: Mapped[int] = mapped_column(BigInteger)
    aside: Mapped[int] = mapped_column(BigInteger)  # whose image cannot be used, or none of its annotations


class Annotation(Base):
    """One annotation of a task: who made it, and when. What it says is in ``Task``, reconciled with the task's others."""

    __tablename__ = "annotations"
    __table_args__ = (Index("annotations_at", "project_id", "at", "annotator", "skipped"),)  # covers what the overview counts

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    annotator: Mapped[int | None] = mapped_column(BigInteger)  # Label Studio's number of the user; no name is kept
    at: Mapped[int] = mapped_column(BigInteger)  # whole seconds
    skipped: Mapped[bool] = mapped_column(Boolean)


class Round(Base):
    """One active-learning iteration: its query, its model and how well that did."""

    __tablename__ = "rounds"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    state: Mapped[RoundState] = mapped_column(default=RoundState.OPEN)
    batch: Mapped[int] = mapped_column(Integer, default=0)  # PT4AL's batch that its query comes from: 1..I, then 1 again
    opened_at: Mapped[float] = mapped_column(Float, default=0.0)
    closed_at: Mapped[float | None] = mapped_column(Float)
    model: Mapped[str] = mapped_column(Text, default="")  # trained on the labels of this and earlier rounds
    labels: Mapped[int] = mapped_column(Integer, default=0)  # labels that trained it
    digest: Mapped[str] = mapped_column(String(64), default="")  # of those labels: equal means nothing new to learn
    control: Mapped[Control] = mapped_column(default=Control)  # its model, measured on the control picks
    seconds: Mapped[dict[str, Any]] = mapped_column(default=dict)
    controls_wanted: Mapped[int] = mapped_column(Integer, default=0)  # control picks that a person wants it to have at least


class Pick(Base):
    """One task that a round has picked, in the order served."""

    __tablename__ = "picks"
    __table_args__ = (Index("picks_task", "project_id", "task_id"),)

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    round: Mapped[int] = mapped_column(Integer, primary_key=True)
    task_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(Integer)
    kind: Mapped[PickKind] = mapped_column()
    score: Mapped[float] = mapped_column(Float(53))  # what Label Studio sorts by, lowest first
    label: Mapped[str] = mapped_column(Text, default="")  # the model's answer
    confidence: Mapped[float | None] = mapped_column(Float(53))  # its top-1 posterior


class PersonsChoice(Base):
    """One task that a person wants labelled next; it stays when it is labelled, in case that is withdrawn."""

    __tablename__ = "choices"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[float] = mapped_column(Float)  # the newest list is served first
    place: Mapped[int] = mapped_column(Integer)  # in its list


class Action(Base):
    """One thing that a person did to a project."""

    __tablename__ = "actions"
    __table_args__ = (Index("actions_project", "project_id", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    at: Mapped[float] = mapped_column(Float)
    who: Mapped[str] = mapped_column(Text)
    what: Mapped[str] = mapped_column(String(32))  # an ``ActionKind``
    detail: Mapped[str] = mapped_column(Text, default="")


class Publication(Base):
    """One model version that Label Studio was, or is being, told to serve."""

    __tablename__ = "publications"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    round: Mapped[int] = mapped_column(Integer)
    state: Mapped[PublicationState] = mapped_column()
    digest: Mapped[str] = mapped_column(String(64))  # of the round's picks that it covers; "": they are other ones now
    hides_answers: Mapped[bool | None] = mapped_column(Boolean)  # whether models' answers are left out of it
    answered_by: Mapped[str] = mapped_column(String(32), default="")  # whose answers they are (see ``engine.served_model.mark``)
    picks: Mapped[int] = mapped_column(Integer)  # how many picks it covers, from the front
    at: Mapped[float] = mapped_column(Float)
