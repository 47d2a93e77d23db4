"""Personal data in words: addresses of e-mail, telephone numbers, numbers of cards, accounts and social security.

Numbers count only where their check digits or numbering plan hold: telephone numbers after Google's libphonenumber,
the others after python-stdnum. So invented ones, such as 555-0142, are none. Names and street addresses are not told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.contracts.audit import AuditItem, AuditOptions, Reading, Readings
from pipeline.contracts.plain_audit import OneByOne, PlainAudit, count_measure
from pipeline.values.utterances import language_of, list_utterances

REGIONS = {"ja": "JP", "zh": "CN"}
"""Whose telephone numbers need no country code in a language; in others, those of :data:`REGION`."""
REGION = "US"

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@((?:[\w-]{1,63}\.){1,5}[a-z]{2,24})\b", re.IGNORECASE)
_INVENTED = re.compile(r"(?:.*\.)?(?:example(?:\.(?:com|net|org))?|test|invalid|localhost)", re.IGNORECASE)
"""Domains that RFC 2606 keeps for examples."""
_DIGITS = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
_SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")
_CARD_STARTS = ("34", "35", "36", "37", "38", "4", "51", "52", "53", "54", "55", "60", "62", "65")
_MAYBE_PHONE = re.compile(r"\d(?:\D{0,3}\d){6}")

MEASURES = (
    count_measure("personal_data", "Addresses of e-mail and valid numbers of telephones, cards, accounts and persons."),
)


def find_personal_data(text: str, region: str = REGION) -> Iterator[tuple[str, str]]:
    """Yield what kind of data a text holds, and where it begins."""
    from stdnum import iban, luhn
    from stdnum.us import ssn

    for hit in _EMAIL.finditer(text):
        if not _INVENTED.fullmatch(hit[1]):
            yield "an address of e-mail", hit[0]
    for hit in _DIGITS.finditer(text):
        digits = re.sub(r"\D", "", hit[0])
        if digits.startswith(_CARD_STARTS) and luhn.is_valid(digits):
            yield "the number of a card", hit[0]
    yield from (("the number of an account", hit[0]) for hit in _IBAN.finditer(text) if iban.is_valid(hit[0]))
    yield from (("a social security number", hit[0]) for hit in _SSN.finditer(text) if ssn.is_valid(hit[0]))
    if _MAYBE_PHONE.search(text):
        yield from _find_phones(text, region)


def _find_phones(text: str, region: str) -> Iterator[tuple[str, str]]:
    import phonenumbers

    for match in phonenumbers.PhoneNumberMatcher(text, region, phonenumbers.Leniency.VALID):
        yield "a telephone number", match.raw_string


def read_personal_data(item: AuditItem) -> Readings:
    """Count over all parts. The detail masks what was found, so that no report spreads it."""
    region = REGIONS.get(language_of(item.row), REGION)
    found = [
        f"part {part.place} holds {what} ({shown[:3]}…)"
        for part in list_utterances(item.row)
        for what, shown in find_personal_data(part.text, region)
    ]
    return {"dialogue.personal_data": Reading(value=float(len(found)), detail="; ".join(found))}


def _open(options: AuditOptions) -> OneByOne:
    return OneByOne(read_personal_data)


PLUGIN = PlainAudit(
    "personal-data",
    "1",
    MEASURES,
    _open,
    packages={"phonenumberslite": "phonenumbers", "python-stdnum": "stdnum"},
)
