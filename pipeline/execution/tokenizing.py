"""The last stage of a run: the codes of a corpus's media beside it, by the tokenizers that its manifest names.

It is an export to ``tokens`` into a folder of the corpus, with an export's receipts under ``work/``: shards that have
not changed since are not encoded again, and those that are gone take their codes with them.
"""

from __future__ import annotations

from pipeline.adapters.exports.token_tables import TOKENS
from pipeline.execution.exports import ExportSetting
from pipeline.execution.project import Project
from pipeline.values.errors import ManifestError
from pipeline.values.tokenizing import Tokenize


def find_tokenizing(project: Project) -> tuple[ExportSetting, Tokenize] | None:
    """Return what is to be encoded, and the section that asks for it; None where the manifest asks for no codes.

    Raises:
        ManifestError: a tokenizer is not installed, takes no such media, or an option is wrong.
    """
    section = project.manifest.tokenize
    if section is None:
        return None
    options = {**section.choices, "batch": section.batch}
    # Workers of other nodes stand in another folder.
    corpus = project.corpus.absolute()
    setting = ExportSetting(corpus, corpus / TOKENS, "tokens", options, beside=corpus / "work" / TOKENS)
    try:
        setting.choose()
    except ManifestError as exc:
        raise ManifestError(f"{project.path}: tokenize: {exc}") from exc
    return setting, section
