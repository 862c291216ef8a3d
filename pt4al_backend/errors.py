"""Every error that a user can cause or cure.

    PT4ALError
    ├── ConfigError              a setting or an extra parameter
    │   ├── SettingsRefused      those of the form, by name; in engine/extra_params
    │   └── StateAway            the state cannot be opened now; in state/opening
    ├── LabelStudioError         Label Studio answered with an error
    │   ├── AuthError            it refused the token
    │   ├── NotFound             it holds no such thing (any more); in label_studio/http
    │   └── Unreachable          it did not answer; retried with backoff
    ├── LabelConfigUnsupported   the project's labeling config
    ├── ImageUnreadable          one image; its task is set aside, the rest continues
    ├── BucketUnavailable        the store of images that are to be ranked refuses, or does not answer
    ├── LabelUnreadable          one annotation; it does not count, the rest continues
    │   └── SizeUnknown          its image has to be read first; in label_studio/annotations
    ├── TrainingImpossible       the labels or the machine do not allow training
    │   └── TooFewClasses        they are of one class or none
    ├── RunnerUnavailable        where jobs run is not installed, or does not answer
    ├── StoreCorrupt             an artefact on disk is not what its manifest says
    ├── StoreAway                the artefact store cannot be read or written now; tried again with the next look
    ├── BadRequest               a request to the server lacks what its route needs
    ├── UnknownProject           it names a project that never connected
    ├── ProjectBusy              a worker is at the project
    ├── NotNow                   what was requested does not fit where the project stands
    ├── NoFrame                  no image of the task is stored
    ├── Superseded               the project was forgotten while something was computed; in engine/snapshot
    ├── BodyTooLong              a request's body is longer than the settings allow; in server/protocol, with the next two
    ├── BodyTooSlow              it did not arrive in time
    ├── ClientLeft               the client left before its body was complete
    ├── HttpError                what the web framework refuses: no such route, no such method; in server/failures
    ├── NotListening             an event stream is not opened; in server/events
    ├── StateUnavailable         state or work queue could not be read or written during a request; in server/failures
    ├── ServerFailed             a server of the demo did not come up, or ended; in demo/servers
    │   └── PortTaken            another program took its port
    └── BenchmarkFailed          what was to be measured did not come about; in bench/numbers/servers

Where no module is named, the class is below. Each message says what happened, each ``remedy`` what to change and where.
``status`` is the HTTP status that the server answers with.
"""

from enum import StrEnum


class Part(StrEnum):
    """What of a project's files is damaged, as far as it can be made again by itself."""

    FRAMES = "frames"
    MASKS = "masks"


LONGEST = 2000  # characters of a message, and of a remedy
LONGEST_VALUE = 200  # of a value that a message quotes


def shortened(text: str, longest: int = LONGEST) -> str:
    """The text, cut in its middle if it is longer: messages quote what users wrote, which may be megabytes."""
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


class PT4ALError(Exception):
    """Root of the tree. ``remedy`` names what the user changes, and where. Both are cut to `LONGEST` characters."""

    status = 500

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = shortened(message)
        self.remedy = shortened(remedy)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class ConfigError(PT4ALError):
    """A setting has an unknown name or a value that is not allowed."""

    status = 400


class LabelStudioError(PT4ALError):
    """Label Studio answered a request with an error."""

    status = 502


class AuthError(LabelStudioError):
    """Label Studio refused the token."""


class Unreachable(LabelStudioError):
    """Label Studio did not answer in time; the engine retries with backoff."""

    status = 503


class LabelConfigUnsupported(PT4ALError):
    """The labeling config holds nothing that a model here can learn."""

    status = 400


class ImageUnreadable(PT4ALError):
    """One image cannot be used; the message is the reason shown beside its task.

    ``transient`` says that another try may succeed later: its host failed or was too slow, not the image.
    """

    def __init__(self, message: str, remedy: str = "", *, transient: bool = False) -> None:
        super().__init__(message, remedy)
        self.transient = transient


class BucketUnavailable(PT4ALError):
    """A bucket, or a listing of a web server, cannot be read: no such thing, no right to it, or no answer."""

    status = 503


class LabelUnreadable(PT4ALError):
    """What one annotation says cannot be read; the message is shown beside its task."""


class TrainingImpossible(PT4ALError):
    """The labels there are, or the machine, do not allow training."""


class TooFewClasses(TrainingImpossible):
    """The labels there are belong to one class or none."""


class RunnerUnavailable(PT4ALError):
    """What PT4AL_LAUNCHER names is not installed, does not answer, or fails before the job begins."""


class StoreCorrupt(PT4ALError):
    """A file of the state directory is missing or differs from its manifest. ``part`` is what the engine can make again."""

    def __init__(self, message: str, remedy: str = "", *, part: Part | None = None) -> None:
        super().__init__(message, remedy)
        self.part = part


class StoreAway(PT4ALError):
    """The artefact store that hosts share refused or did not answer; the message holds neither credentials nor its reply."""

    status = 503


class BadRequest(PT4ALError):
    """A request does not hold what its route needs."""

    status = 400


class UnknownProject(PT4ALError):
    """The project never connected this backend."""

    status = 404

    def __init__(self, project_id: object, remedy: str = "Connect it in Label Studio, Settings > Model.") -> None:
        super().__init__(f"Project {shortened(repr(project_id), 40)} is not connected to this backend.", remedy)


class NotNow(PT4ALError):
    """What was requested does not fit where the project stands."""

    status = 409


class NoFrame(PT4ALError):
    """No image of the task is stored, or not any more."""

    status = 404


class ProjectBusy(PT4ALError):
    """A worker is at the project, so it cannot be changed from outside now."""

    status = 409
