"""Every exception that a user can meet, as one tree.

AnyInstructError
├── ManifestError          a manifest, prompt or topic file says something that cannot be
├── ModelFileError         a model file is missing, unreachable or has the wrong hash
├── CorpusError            a corpus on disk is locked, damaged, too new or not a corpus
│   ├── StaleWriter        this process lost the corpus's lock and must not commit
│   └── StageDamaged       a stage file was found damaged and set aside: the run makes it again
├── HubError               a hub cannot be reached or refuses what is to be published
├── EndpointError          an LLM endpoint refuses for good (key, quota, unknown model): the run stops
├── ChatFailure            one call failed: recorded with its code, the run goes on
│   └── MediaFailure       … and was paid for all the same
└── RenderError            a renderer cannot work at all (weights, library): the run stops
    └── OutOfMemory        a batch does not fit the accelerator: half of it is tried
"""

from __future__ import annotations

from collections.abc import Mapping


class AnyInstructError(Exception):
    """Base of all expected errors. Its text is shown to the user as it stands, without a traceback."""


class ManifestError(AnyInstructError):
    """A file that a person writes is wrong. The text names file, line, key, value and what is allowed.

    A check that knows the key and not the file begins each line with it (``render.image.renderer: …``); whoever has
    read the file puts its name and the key's line in front.
    """


class ModelFileError(AnyInstructError):
    """A model file cannot be had or is not what the lock says."""


class CorpusError(AnyInstructError):
    """A corpus cannot be used as it is. The text names the file and what to do."""


class StaleWriter(CorpusError):
    """The corpus belongs to a later run; this writer commits nothing more."""


class StageDamaged(CorpusError):
    """A stage file cannot be read as a whole. It was set aside, and its stage makes it again from the journal."""


class HubError(AnyInstructError):
    """A hub of datasets cannot be reached or refuses. The text names the repository and what to do."""


class EndpointError(AnyInstructError):
    """An endpoint refuses every call (authentication, quota, unknown model). Going on would burn records."""


class RenderError(AnyInstructError):
    """A renderer cannot be loaded or has lost a whole batch."""


class OutOfMemory(RenderError):
    """A batch does not fit into the device's memory. Nothing of it was made; a smaller one may fit."""


class ChatFailure(AnyInstructError):
    """One call to an endpoint came to nothing.

    Attributes:
        code: Stable reason code, e.g. ``timeout``, ``refused``, ``cut_off``, ``invalid_answer``, ``bad_request``.
        usage: Tokens that were paid for all the same, named as ``contracts.chat.Usage`` has them; None for none.
    """

    def __init__(self, code: str, message: str, usage: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.usage = usage


class MediaFailure(ChatFailure):
    """A call for a picture or speech was answered with what is none, or nobody knows what became of it.

    Attributes:
        usd: What it cost all the same.
    """

    def __init__(self, code: str, message: str, usd: float) -> None:
        super().__init__(code, message)
        self.usd = usd
