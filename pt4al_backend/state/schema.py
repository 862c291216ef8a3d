"""The tables of the state, for SQLite and PostgreSQL alike. Changes go through a migration in ``migrations/versions``."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Root of the tables. Times are seconds since 1970 in UTC."""

    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012 - SQLAlchemy's own convention


class Project(Base):
    """One Label Studio project that connected the backend, and where its loop stands."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(Text, default="")
    label_config: Mapped[str] = mapped_column(Text, default="")
    params: Mapped[dict[str, Any]] = mapped_column(default=dict)
    hostname: Mapped[str] = mapped_column(Text, default="")  # how Label Studio names itself
    access_token: Mapped[str] = mapped_column(Text, default="")  # from /setup; used only if the admin set none

    phase: Mapped[str] = mapped_column(String(32), default="connected")
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    notices: Mapped[dict[str, Any]] = mapped_column(default=dict)  # topic -> sentence for the user
    error: Mapped[str] = mapped_column(Text, default="")
    remedy: Mapped[str] = mapped_column(Text, default="")
    error_at: Mapped[float | None] = mapped_column(Float)

    asked: Mapped[int] = mapped_column(Integer, default=0)  # counts the requests for a reconcile
    train_asked: Mapped[int] = mapped_column(Integer, default=0)  # counts presses of Start Training
    train_done: Mapped[int] = mapped_column(Integer, default=0)  # the last press that was heeded
    lease_owner: Mapped[str] = mapped_column(String(64), default="")
    lease_until: Mapped[float] = mapped_column(Float, default=0.0)

    view_made: Mapped[bool] = mapped_column(Boolean, default=False)  # whoever deletes the Data Manager's tab wants it gone
    synced_until: Mapped[str] = mapped_column(String(40), default="")  # Label Studio's clock: newest updated_at seen
    full_sync_at: Mapped[float] = mapped_column(Float, default=0.0)
    config_read: Mapped[str] = mapped_column(Text, default="")  # the labeling config that images and labels were read by
    task: Mapped[str] = mapped_column(String(32), default="")  # the main task that the images are stored for
    asked_size: Mapped[int | None] = mapped_column(Integer)  # the setting image_size that the shapes were chosen by
    image_height: Mapped[int | None] = mapped_column(Integer)  # of the frames that networks are trained on
    image_width: Mapped[int | None] = mapped_column(Integer)
    stored_height: Mapped[int | None] = mapped_column(Integer)  # of the frames in the pixel file
    stored_width: Mapped[int | None] = mapped_column(Integer)

    learner: Mapped[str] = mapped_column(Text, default="")  # artefact of the pretext learner
    learner_pool: Mapped[int] = mapped_column(Integer, default=0)  # images it was trained on
    quality: Mapped[dict[str, Any]] = mapped_column(default=dict)  # whether the pretext means anything here
    model: Mapped[str] = mapped_column(Text, default="")  # artefact of the last good model
    round: Mapped[int] = mapped_column(Integer, default=0)
    served_version: Mapped[str] = mapped_column(String(64), default="")

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Shape of the frames that networks are trained on; None before the first image was read."""
        return (self.image_height, self.image_width) if self.image_height and self.image_width else None

    @property
    def stored_shape(self) -> tuple[int, int] | None:
        """Shape of the frames in the pixel file; None before the first image was read."""
        return (self.stored_height, self.stored_width) if self.stored_height and self.stored_width else None


class Task(Base):
    """One task of the pool: its image, its pretext loss and batch, and what annotators said."""

    __tablename__ = "tasks"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    image: Mapped[str] = mapped_column(Text, default="")
    row: Mapped[int | None] = mapped_column(Integer)  # place in the pixel file
    width: Mapped[int | None] = mapped_column(Integer)  # of the image as it was fetched, upright
    height: Mapped[int | None] = mapped_column(Integer)
    problem: Mapped[str] = mapped_column(Text, default="")  # why it is set aside
    retry_at: Mapped[float | None] = mapped_column(Float)  # when a passing problem is looked at again
    loss: Mapped[float | None] = mapped_column(Float(53))
    batch: Mapped[int] = mapped_column(Integer, default=0)  # 1..I, 0: not ranked yet
    answer: Mapped[str] = mapped_column(String(8), default="")  # "", "label" or "skip"
    label: Mapped[str] = mapped_column(Text, default="")
    accepted: Mapped[bool] = mapped_column(default=False)  # a prediction submitted unchanged
    note: Mapped[str] = mapped_column(Text, default="")  # which of its annotations do not count, and why
    stamp: Mapped[str] = mapped_column(String(40), default="")  # of the annotations that the last four were read from


class Round(Base):
    """One active-learning iteration: its query, its model and how well that did."""

    __tablename__ = "rounds"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    state: Mapped[str] = mapped_column(String(8), default="open")  # "starting", "open" or "closed"
    batch: Mapped[int] = mapped_column(Integer, default=0)  # PT4AL's batch that it asks from: 1..I, then from the start again
    opened_at: Mapped[float] = mapped_column(Float, default=0.0)
    closed_at: Mapped[float | None] = mapped_column(Float)
    model: Mapped[str] = mapped_column(Text, default="")  # trained on the labels of this and earlier rounds
    labels: Mapped[int] = mapped_column(Integer, default=0)  # labels that trained it
    digest: Mapped[str] = mapped_column(String(64), default="")  # of those labels: equal means nothing new to learn
    control: Mapped[dict[str, Any]] = mapped_column(default=dict)  # correct, total, accuracy, low, high
    seconds: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Pick(Base):
    """One task that a round asks for, in the order served."""

    __tablename__ = "picks"
    __table_args__ = (Index("picks_task", "project_id", "task_id"),)

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    round: Mapped[int] = mapped_column(Integer, primary_key=True)
    task_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(8))  # "query", "control" or "reserve"
    score: Mapped[float] = mapped_column(Float(53))  # what Label Studio sorts by, lowest first
    label: Mapped[str] = mapped_column(Text, default="")  # the model's answer
    confidence: Mapped[float | None] = mapped_column(Float(53))  # its top-1 posterior


class Publication(Base):
    """One model version that Label Studio was, or is being, told to serve."""

    __tablename__ = "publications"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    round: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(8))  # "sending", "live", "old" or "pruned"
    digest: Mapped[str] = mapped_column(String(64))  # of the round's picks that it covers
    picks: Mapped[int] = mapped_column(Integer)  # how many picks it covers, from the front
    at: Mapped[float] = mapped_column(Float)
