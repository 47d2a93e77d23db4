"""What is wrong with a brief's text whatever is to be made of it."""

from __future__ import annotations

from pipeline.contracts.render import Brief, RenderFailure


def refuse_text(brief: Brief) -> RenderFailure | None:
    """Refuse a text with half a surrogate pair: JSON can spell one, and no tokenizer and no file takes it."""
    try:
        brief.text.encode()
    except UnicodeEncodeError as exc:
        message = f"brief {brief.id}: its text is no Unicode at character {exc.start}"
        return RenderFailure(code="bad_brief", message=message)
    return None
