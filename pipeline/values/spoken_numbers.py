"""Numbers as English voices say them."""

from __future__ import annotations

import re
from collections.abc import Callable

from pipeline.values.spoken_tables import CURRENCIES, MAGNITUDES, MONTHS, UNITS

_TO_NINETEEN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_ONES = tuple(_TO_NINETEEN.split())
_TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (10**3, "thousand"), (100, "hundred"))
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_MAX_SPOKEN = 10**15
_MONTH_NAMES = tuple(MONTHS.values())


def say_cardinal(number: int) -> str:
    """``142`` is "one hundred forty-two"; from 10^15 on, and below zero, digits are said one by one."""
    if not 0 <= number < _MAX_SPOKEN:
        return say_digits(str(abs(number)))
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
    scale, name = next((scale, name) for scale, name in _SCALES if number >= scale)
    many, rest = divmod(number, scale)
    return f"{say_cardinal(many)} {name}" + (f" {say_cardinal(rest)}" if rest else "")


def say_ordinal(number: int) -> str:
    """``21`` is "twenty-first"."""
    words = say_cardinal(number)
    head, mark, last = re.fullmatch(r"(.*?)([ -]?)(\w+)", words).groups()  # type: ignore[union-attr]
    last = _ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    return head + mark + str(last)


def say_digits(digits: str) -> str:
    """``"007"`` is "zero zero seven"."""
    return " ".join(_ONES[int(digit)] for digit in digits)


def say_year(year: int) -> str:
    """``1905`` is "nineteen oh five", ``2005`` "two thousand five", ``1900`` "nineteen hundred"."""
    century, rest = divmod(year, 100)
    if year % 1000 < 10:
        return say_cardinal(year)
    if rest == 0:
        return f"{say_cardinal(century)} hundred"
    return f"{say_cardinal(century)} {f'oh {_ONES[rest]}' if rest < 10 else say_cardinal(rest)}"


def say_number(text: str) -> str:
    """Say digits as written: thousands may have commas, decimals a dot; a leading zero means digits one by one."""
    whole, _, decimals = text.replace(",", "").partition(".")
    if len(whole) > 1 and whole.startswith("0"):
        words = say_digits(whole)
    elif "," not in text and len(whole) == 4 and 1100 <= int(whole) <= 2099 and not decimals:
        words = say_year(int(whole))
    else:
        words = say_cardinal(int(whole or "0")) if len(whole) <= 15 else say_digits(whole)
    return f"{words} point {say_digits(decimals)}" if decimals else words


# A number that does not hang on letters, digits or a dot before it. Digits are bounded, so that no text is slow.
_N = r"(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,40})(?:\.\d{1,20})?|\.\d{1,20}"
_FREE = r"(?<![\w.])"
_UNIT = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
_MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?:[a-z]{0,6})"
_MONTH_DOT = rf"\b{_MONTH}\.?"
_SIGN = "|".join(re.escape(sign) for sign in CURRENCIES)
_TO = r"\s?-\s?"
_HALF = r"(?i:[ap]\.m\.|[ap]m\b)"


def _say_clock(hit: re.Match[str]) -> str:
    hour, minute, half = int(hit[1]), hit[2], (hit[3] or "").replace(".", "").upper()
    # The dot of "p.m." ends the sentence, too, where a capital or nothing follows.
    if half and hit[3].endswith(".") and re.match(r"\s+[A-Z]|\s*$", hit.string[hit.end() :]):
        half += "."
    if hour > 24 or (minute and int(minute) > 59):
        return f"{say_number(hit[1])} {say_number(minute or '0')}"
    if not minute or minute == "00":
        if half:
            return f"{say_cardinal(hour)} {half}"
        words = "midnight" if hour in (0, 24) else f"{say_cardinal(hour)} o'clock" if hour <= 12 else ""
        return words or f"{say_cardinal(hour)} hundred hours"
    words = f"{say_cardinal(hour)} {f'oh {_ONES[int(minute)]}' if minute[0] == '0' else say_cardinal(int(minute))}"
    return f"{words} {half}" if half else words


def _say_date(year: str | None, month: int, day: int) -> str:
    words = f"{_MONTH_NAMES[month - 1]} {say_ordinal(day)}"
    return f"{words}, {say_year(int(year))}" if year else words


def _say_iso_date(hit: re.Match[str]) -> str:
    month, day = int(hit[2]), int(hit[3])
    if 1 <= month <= 12 and 1 <= day <= 31:
        return _say_date(hit[1], month, day)
    return " ".join(say_number(part) for part in hit.groups())


def _say_slash_date(hit: re.Match[str]) -> str:
    first, second = int(hit[1]), int(hit[2])
    month, day = (first, second) if first <= 12 else (second, first)  # month first, as American English writes it
    if 1 <= month <= 12 and 1 <= day <= 31:
        return _say_date(hit[3] if len(hit[3]) == 4 else f"20{hit[3]}", month, day)
    return " ".join(say_number(part) for part in hit.groups())


def _say_month_day(hit: re.Match[str]) -> str:
    day = int(hit[2])
    name = MONTHS[hit[1].lower()]
    return f"{name} {say_ordinal(day)}" if 1 <= day <= 31 else f"{name} {say_number(hit[2])}"


def _say_money(hit: re.Match[str]) -> str:
    sign, amount, magnitude = (hit["s1"] or hit["s2"]), (hit["n1"] or hit["n2"]), (hit["m1"] or hit["m2"])
    one, many, parts = CURRENCIES[sign]
    if magnitude:
        return f"{_plain(amount)} {MAGNITUDES[magnitude]} {many}"
    whole, _, decimals = amount.replace(",", "").partition(".")
    if len(decimals) != 2:
        return f"{_plain(amount)} {one if amount == '1' else many}"
    hundredths = say_cardinal(int(decimals))
    part = {"cents": "cent", "pence": "penny"}.get(parts, parts) if int(decimals) == 1 else parts
    if not int(whole or "0"):
        return f"{hundredths} {part}"
    words = f"{_plain(whole)} {one if int(whole) == 1 else many}"
    return f"{words} and {hundredths} {part}" if int(decimals) else words


def _say_money_range(hit: re.Match[str]) -> str:
    return f"{_plain(hit[2])} to {_plain(hit[3])} {CURRENCIES[hit[1]][1]}"


def _say_unit(hit: re.Match[str]) -> str:
    one, many = UNITS[hit["unit"]]
    power = {"²": "square ", "2": "square ", "³": "cubic ", "3": "cubic "}.get(hit["power"] or "", "")
    amounts = [amount for amount in (hit["a"], hit["b"]) if amount]
    minus = "minus " if hit["minus"] else ""
    return minus + " to ".join(map(_plain, amounts)) + " " + power + (one if amounts == ["1"] else many)


def _say_fraction(hit: re.Match[str]) -> str:
    whole, over, under = hit[1], int(hit[2]), int(hit[3])
    if (over, under) in ((9, 11), (24, 7)) or (under in (2, 4, 8) and (over >= under or hit[4])):
        # 9/11, 24/7, and time signatures such as 6/8
        words = f"{say_cardinal(over)} {say_cardinal(under)}{hit[4] or ''}"
    elif under in (5, 10, 100) and over and not whole and over > under // 2:
        words = f"{say_cardinal(over)} out of {say_cardinal(under)}"
    elif under in (2, 4):
        name = {2: ("half", "halves"), 4: ("quarter", "quarters")}[under]
        words = f"{'a' if whole and over == 1 else say_cardinal(over)} {name[over != 1]}"
    elif 0 < over < under <= 20:
        words = f"{say_cardinal(over)} {say_ordinal(under)}{'s' if over != 1 else ''}"
    else:
        words = f"{say_number(hit[2])} over {say_number(hit[3])}"
    if hit[4] and not words.endswith(hit[4]):
        words += hit[4]
    return f"{say_number(whole)} and {words}" if whole else words


def _say_decade(hit: re.Match[str]) -> str:
    digits = str(hit[hit.lastindex or 1])
    words = say_year(int(digits)) if len(digits) == 4 else say_cardinal(int(digits))
    return words[:-1] + "ies" if words.endswith("y") else words + "s"


def _plain(number: str) -> str:
    """Say an amount: never as a year."""
    whole, dot, decimals = number.replace(",", "").partition(".")
    if len(whole) > 1 and whole.startswith("0"):
        return say_number(number)
    words = say_cardinal(int(whole or "0")) if len(whole) <= 15 else say_digits(whole)
    return f"{words} point {say_digits(decimals)}" if dot and decimals else words


_RULES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    # Dates, before anything that would take their parts for ranges or fractions.
    (rf"{_FREE}(\d{{4}})-(\d{{1,2}})-(\d{{1,2}})(?!\w)", _say_iso_date),
    (rf"{_FREE}(\d{{1,2}})/(\d{{1,2}})/(\d{{4}}|\d{{2}})(?![\w/])", _say_slash_date),
    (rf"{_MONTH_DOT} (\d{{1,2}})(?:st|nd|rd|th)?(?![\w:.%]|,\d)(?!\.\d)", _say_month_day),
    (rf"{_MONTH_DOT} (\d{{1,2}})(?:st|nd|rd|th)?(?=\.(?:\s|$))", _say_month_day),
    (
        rf"{_FREE}(\d{{1,2}})(?:st|nd|rd|th)? (?:of )?{_MONTH_DOT}(?![a-z])",
        lambda hit: f"{say_ordinal(int(hit[1]))} of {MONTHS[hit[2].lower()]}" if 0 < int(hit[1]) < 32 else hit[0],
    ),
    (r"(?<!\w)[vV]\.?\s?(?=\d)", lambda hit: "version "),
    # Telephone numbers, versions and addresses: digit by digit or with every point.
    (
        r"(?<![\w.])\+?\(?\d{3}\)?[- ]\d{3}[- ]\d{4}(?!\w)",
        lambda hit: ", ".join(say_digits(g) for g in re.findall(r"\d+", hit[0])),
    ),
    (r"(?<![\w.-])(\d{3})-(\d{4})(?![\w-])", lambda hit: f"{say_digits(hit[1])}, {say_digits(hit[2])}"),
    (
        r"(?<![\d.])\d{1,6}(?:\.\d{1,6}){2,8}(?![\d])",
        lambda hit: " point ".join(say_number(part) for part in hit[0].split(".")),
    ),
    # Times.
    (rf"(?<=\d){_TO}(?=\d{{1,2}}:\d\d)|(?i:(?<=[ap]m)|(?<=[ap]\.m\.)){_TO}(?=\d)", lambda hit: " to "),
    (rf"{_FREE}(\d{{1,2}}){_TO}(?=\d{{1,2}}(?::\d\d)?\s?{_HALF})", lambda hit: f"{say_cardinal(int(hit[1]))} to "),
    (rf"{_FREE}(\d{{1,2}}):(\d{{2}})(?::\d{{2}})?(?:\s?({_HALF}))?(?![\d:])", _say_clock),
    (rf"{_FREE}(\d{{1,2}})()\s?({_HALF})", _say_clock),
    # Money.
    (rf"({_SIGN})({_N}){_TO}(?:{_SIGN})?({_N})(?![\d%])", _say_money_range),
    (
        rf"(?P<s1>{_SIGN})\s?(?P<n1>{_N})(?:\s?(?P<m1>thousand|million|billion|trillion|bn|[kKMBm])\b)?"
        rf"|{_FREE}(?P<n2>{_N})(?:\s?(?P<m2>million|billion|[kM]))?\s?(?P<s2>{_SIGN})",
        _say_money,
    ),
    # Decades, before "s" is taken for seconds.
    (r"(?<![\w.])'?(\d{3}0)'?s\b", _say_decade),
    (r"(?<![\w.])'(\d0)s\b", _say_decade),
    (r"(?<=\b(?:the|his|her) )(\d0)s\b|(?<=\b(?:late|your) )(\d0)s\b|(?<=\bearly )(\d0)s\b", _say_decade),
    # Units, with ranges and a minus.
    (
        rf"{_FREE}(?P<minus>(?<!\d)-)?(?P<a>{_N})(?:{_TO}(?P<b>{_N}))?[\s-]?(?P<unit>{_UNIT})(?P<power>[²³]|[23])?(?![\w°])",
        _say_unit,
    ),
    # Counting: ordinals, decades, magnitudes, times.
    (r"(?<![\w.])(\d{1,15})(?:st|nd|rd|th)\b", lambda hit: say_ordinal(int(hit[1]))),
    (rf"{_FREE}({_N})\s?(k|M|bn)\b", lambda hit: f"{_plain(hit[1])} {MAGNITUDES[hit[2]]}"),
    (
        rf"{_FREE}({_N})\s?[x×]\s?({_N})(?!\w)",
        lambda hit: f"{_plain(hit[1])} by {_plain(hit[2])}",
    ),
    (rf"{_FREE}({_N})[x×](?!\w)", lambda hit: f"{_plain(hit[1])} times"),
    # Fractions, scores and ranges.
    (rf"{_FREE}(\d{{1,3}}\.\d{{1,2}})/(\d{{1,3}})(?![\w/])", lambda hit: f"{_plain(hit[1])} out of {_plain(hit[2])}"),
    (r"(?<![\w./])(?:(\d{1,6})[ -])?(\d{1,4})/(\d{1,4})( time\b| beat\b| meter\b)?(?![\w/])", _say_fraction),
    (rf"{_FREE}({_N}){_TO}({_N})(?![\w-])", lambda hit: f"{say_number(hit[1])} to {say_number(hit[2])}"),
    (r"(?<![\w])[#№]\s?(\d{1,15})\b", lambda hit: f"number {_plain(hit[1])}"),
    (rf"(?<![\w)\s])\s?-({_N})|(?:(?<=\s)|(?<=^))[-−]({_N})", lambda hit: f" minus {say_number(hit[1] or hit[2])}"),
    (rf"(?:(?<=\s)|(?<=^))\+({_N})", lambda hit: f"plus {say_number(hit[1])}"),
    # What is left, also where digits and letters touch ("MP3", "B2B").
    (rf"{_FREE}({_N})(?![\d])", lambda hit: f" {say_number(hit[1])} "),
    (r"\d{1,40}", lambda hit: f" {say_number(hit[0])} "),
)
_DIGIT = re.compile(r"\d")
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE if "jan|feb" in pattern else 0), say) for pattern, say in _RULES)


def say_numbers(text: str) -> str:
    """Replace every number of an English text, its sign and unit with it, by words. No ASCII digit is left."""
    if not _DIGIT.search(text):
        return text  # every rule asks for one
    for pattern, say in _COMPILED:
        text = pattern.sub(say, text)
    return text
