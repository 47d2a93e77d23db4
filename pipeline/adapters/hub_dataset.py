"""A dataset repository of the Hugging Face Hub: what it holds, and how files get there.

Contents go up first and become visible with a commit, so a kill in between leaves the repository as it was, and
contents that are up already are not sent again: the hub knows them by their SHA-256 (or, through Xet, by their chunks).
The token comes from the hub's own login or ``HF_TOKEN``, the address from ``HF_ENDPOINT``; neither is ever written.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pipeline.adapters.files import sha256_file
from pipeline.values.errors import HubError
from pipeline.values.units import Bytes

DEFAULT_BRANCH = "main"
_BATCH = 16
"""Files that are sent before progress is told."""


class HubDataset:
    """A dataset repository, for a person who is logged in.

    Args:
        repo: ``owner/name``, or ``name`` for the person's own.
        revision: Branch.

    Raises:
        HubError: the hub's library or a token is missing, or ``repo`` is no name of a repository.
    """

    def __init__(self, repo: str, revision: str = DEFAULT_BRANCH) -> None:
        if importlib.util.find_spec("huggingface_hub") is None:
            raise HubError("huggingface_hub is not installed; pip install 'anyinstruct[publish]'")
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.utils import HFValidationError, validate_repo_id

        try:
            validate_repo_id(repo)
        except HFValidationError:
            raise HubError(f"{repo!r}: is no name of a repository; write owner/name") from None
        if get_token() is None:
            raise HubError("no token for the hub: run `hf auth login`, or put one that may write into HF_TOKEN")
        self._api = HfApi()
        self._repo = repo
        self._revision = revision
        self._contents: dict[str, Any] = {}
        self._has_branch = revision == DEFAULT_BRANCH

    @property
    def address(self) -> str:
        """Where a person looks at it."""
        return f"{self._api.endpoint}/datasets/{self._repo}"

    def look(self) -> bool | None:
        """Read what the repository holds.

        Returns:
            Whether it is private; None where there is no such repository yet.

        Raises:
            HubError: the hub refuses or cannot be reached.
        """
        from huggingface_hub import RepoFile
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        with _telling(self._repo):
            try:
                info = self._api.dataset_info(self._repo)
            except RepositoryNotFoundError as exc:
                # The library takes a refused token for a repository that is not there.
                if exc.response.status_code != HTTPStatus.NOT_FOUND:
                    raise
                return None
            try:
                tree = self._api.list_repo_tree(
                    self._repo, recursive=True, revision=self._revision, repo_type="dataset"
                )
                self._contents = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
                self._has_branch = True
            except RevisionNotFoundError:
                self._contents = {}
        return bool(info.private)

    @property
    def names(self) -> frozenset[str]:
        """Files of the branch, as :meth:`look` found them."""
        return frozenset(self._contents)

    def holds(self, name: str, path: Path) -> bool:
        """Whether the branch has this very content under this name."""
        there = self._contents.get(name)
        if there is None or there.size != path.stat().st_size:
            return False
        if there.lfs is not None:
            return bool(there.lfs.sha256 == sha256_file(path))
        return bool(there.blob_id == _git_blob_id(path, there.size))

    def create(self, is_private: bool) -> None:
        """Make the repository; where somebody else has made it meanwhile, that is refused, for theirs may be public.

        Raises:
            HubError: the hub refuses or cannot be reached.
        """
        with _telling(self._repo):
            # Left open, an organisation's own setting decides.
            self._api.create_repo(self._repo, repo_type="dataset", private=is_private or None)

    def create_branch(self) -> None:
        """Make the branch where :meth:`look` found none.

        Raises:
            HubError: the hub refuses or cannot be reached.
        """
        if not self._has_branch:
            with _telling(self._repo):
                self._api.create_branch(self._repo, branch=self._revision, repo_type="dataset", exist_ok=True)

    def commit(
        self,
        added: Mapping[str, Path],
        removed: Sequence[str],
        message: str,
        on_sent: Callable[[int, Bytes], None],
    ) -> None:
        """Send contents, then make all changes visible at once.

        Args:
            added: Files by their names in the repository.
            on_sent: Told how many files of which size are up.

        Raises:
            HubError: the hub refuses or cannot be reached; what is up already is not sent again another time.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        adding = [CommitOperationAdd(name, str(path)) for name, path in added.items()]
        removing = [CommitOperationDelete(name) for name in removed]
        place: dict[str, Any] = {"repo_id": self._repo, "repo_type": "dataset", "revision": self._revision}
        with _telling(self._repo):
            for start in range(0, len(adding), _BATCH):
                batch = adding[start : start + _BATCH]
                self._api.preupload_lfs_files(additions=batch, free_memory=False, **place)
                on_sent(len(batch), sum(operation.upload_info.size for operation in batch))
            self._api.create_commit(operations=[*adding, *removing], commit_message=message, **place)


@contextmanager
def _telling(repo: str) -> Iterator[None]:
    """Turn the library's errors into one line; their own texts may hold signed addresses."""
    from httpx2 import HTTPError
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except HfHubHTTPError as exc:
        raise _explain(repo, exc) from exc
    except RuntimeError as exc:
        # The library wraps what goes wrong while a file is sent in a bare RuntimeError, and Xet raises such itself.
        if isinstance(exc.__cause__, HfHubHTTPError):
            raise _explain(repo, exc.__cause__) from exc
        raise _unreachable(repo, exc.__cause__ or exc) from exc
    except (HTTPError, OSError) as exc:
        raise _unreachable(repo, exc) from exc
    except ValueError as exc:
        raise HubError(f"{repo}: the hub's answer is not understood ({type(exc).__name__}); try again") from exc


def _explain(repo: str, exc: Any) -> HubError:
    status = exc.response.status_code
    advice = {
        401: "the token is not valid; run `hf auth login` again",
        403: "the token may not write there; make one that may, or name a repository of your own",
        404: "there is no such repository, or the token may not see it",
        409: "somebody else has changed it meanwhile; give the same command again",
        412: "somebody else has changed it meanwhile; give the same command again",
    }
    said = f" ({exc.server_message})" if exc.server_message else ""
    what_to_do = advice.get(status, "give the same command again later; what is up already is not sent again")
    return HubError(f"{repo}: the hub answers {status}{said}: {what_to_do}")


def _unreachable(repo: str, exc: BaseException) -> HubError:
    return HubError(
        f"{repo}: the hub cannot be reached or a file cannot be read ({type(exc).__name__}); give the same command "
        "again later, what is up already is not sent again"
    )


def _git_blob_id(path: Path, num_bytes: Bytes) -> str:
    """Git's name of a small file's content: a hash with its kind and length in front."""
    return hashlib.sha1(b"blob %d\0" % num_bytes + path.read_bytes()).hexdigest()
