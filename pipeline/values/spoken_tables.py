"""Words behind the signs of written English: units, currencies, abbreviations; and how stage directions begin."""

from __future__ import annotations

from collections.abc import Mapping

UNITS: Mapping[str, tuple[str, str]] = {
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "kmh": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"),
    "m/s": ("meter per second", "meters per second"),
    "mi": ("mile", "miles"),
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "m": ("meter", "meters"),
    "ft": ("foot", "feet"),
    "sq ft": ("square foot", "square feet"),
    "yd": ("yard", "yards"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "g": ("gram", "grams"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ml": ("milliliter", "milliliters"),
    "mL": ("milliliter", "milliliters"),
    "l": ("liter", "liters"),
    "L": ("liter", "liters"),
    "tbsp": ("tablespoon", "tablespoons"),
    "tsp": ("teaspoon", "teaspoons"),
    "ms": ("millisecond", "milliseconds"),
    "s": ("second", "seconds"),
    "sec": ("second", "seconds"),
    "secs": ("second", "seconds"),
    "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"),
    "h": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "yrs": ("year", "years"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "BPM": ("beat per minute", "beats per minute"),
    "bpm": ("beat per minute", "beats per minute"),
    "rpm": ("turn per minute", "turns per minute"),
    "fps": ("frame per second", "frames per second"),
    "dB": ("decibel", "decibels"),
    "KB": ("kilobyte", "kilobytes"),
    "kB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
    "px": ("pixel", "pixels"),
    "W": ("watt", "watts"),
    "kW": ("kilowatt", "kilowatts"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "V": ("volt", "volts"),
    "mAh": ("milliamp hour", "milliamp hours"),
    "cal": ("calorie", "calories"),
    "kcal": ("kilocalorie", "kilocalories"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
    "%": ("percent", "percent"),
}
"""Unit after a number to its singular and plural. Areas and volumes ("m²") are made from these."""

CURRENCIES: Mapping[str, tuple[str, str, str]] = {
    "$": ("dollar", "dollars", "cents"),
    "€": ("euro", "euros", "cents"),
    "£": ("pound", "pounds", "pence"),
    "¥": ("yen", "yen", "sen"),
    "₹": ("rupee", "rupees", "paise"),
}
"""Sign to singular, plural and the hundredth part, which is always written in two digits and mostly plural."""

MAGNITUDES: Mapping[str, str] = {
    "k": "thousand",
    "K": "thousand",
    "M": "million",
    "m": "million",
    "B": "billion",
    "bn": "billion",
    "thousand": "thousand",
    "million": "million",
    "billion": "billion",
    "trillion": "trillion",
}

MONTHS: Mapping[str, str] = {
    "jan": "January",
    "feb": "February",
    "mar": "March",
    "apr": "April",
    "may": "May",
    "jun": "June",
    "jul": "July",
    "aug": "August",
    "sep": "September",
    "oct": "October",
    "nov": "November",
    "dec": "December",
}
"""First three letters to the name; in the order of the year."""

ABBREVIATIONS: Mapping[str, str] = {
    r"Dr\.?(?= ?[A-Z])": "Doctor",
    r"Mr\.?(?= ?[A-Z])": "Mister",
    r"Mrs\.?(?= ?[A-Z])": "Missus",
    r"Ms\.(?= ?[A-Z])": "Miz",
    r"Prof\.(?= ?[A-Z])": "Professor",
    r"Capt\.(?= ?[A-Z])": "Captain",
    r"Lt\.(?= ?[A-Z])": "Lieutenant",
    r"Sgt\.(?= ?[A-Z])": "Sergeant",
    r"Gen\.(?= ?[A-Z])": "General",
    r"Rev\.(?= ?[A-Z])": "Reverend",
    r"St\.(?= [A-Z])": "Saint",
    r"Mt\.(?= [A-Z])": "Mount",
    r"St\.": "Street",
    r"Ave\.": "Avenue",
    r"Blvd\.": "Boulevard",
    r"Jr\.": "Junior",
    r"Sr\.": "Senior",
    r"Inc\.": "Incorporated",
    r"Ltd\.": "Limited",
    r"Corp\.": "Corporation",
    r"Ph\.?D\.?": "PhD",
    r"[Ee]\.g\.,?": "for example,",
    r"[Ii]\.e\.,?": "that is,",
    r"[Vv]s\.?": "versus",
    r"a\.?k\.?a\.?": "also known as",
    r"[Aa]pprox\.": "approximately",
    r"(?:No|no|Nr)\.(?= ?\d)": "number",
    r"Fig\.(?= ?\d)": "figure",
    r"[Vv]ol\.(?= ?\d)": "volume",
    r"pp\.(?= ?\d)": "pages",
    r"p\.(?= ?\d)": "page",
    r"[Mm]ins\.": "minutes",
    r"[Mm]in\.": "minutes",
    r"[Mm]ax\.": "maximum",
    r"[Dd]ept\.": "department",
    r"est\.(?= ?\d)": "established",
    r"[Ff]eat\.": "featuring",
    r"w/o": "without",
    r"w/": "with",
    r"b/c": "because",
    r"and/or": "and or",
    r"Mon\.": "Monday",
    r"Tues?\.": "Tuesday",
    r"Wed\.": "Wednesday",
    r"Thu(?:rs)?\.": "Thursday",
    r"Fri\.": "Friday",
}
"""Pattern of an abbreviation, its dot with it, to its words. It must begin a word. The order matters."""

_KEPT = (
    "AI AM AC AKA API APIs ASAP ATM BBC BBQ CD CEO CFO CIA CNN CPU CTO CV DIY DJ DNA DVD EDM EP ER EU FAQ FBI GPS GPU "
    "HBO HD HR IBM ID IDs IKEA IMDB IOU IPA IQ ISO IT LA LED LP MC MIT MP MRI NASA NATO NBA NFL NGO NYC OK OS PA PC "
    "PDF PIN PM POV PR QA RAM RNA RPG SEO SUV TED TV TVs UI UFO UFOs UK UN UNESCO UNICEF URL US USA USB UV UX VIP VR "
    "WWF XL"
)
KEPT_CAPITALS = frozenset(_KEPT.split())
"""Written in capitals and known to speech engines, which spell them or say them as words. Others with a vowel are
taken for shouting and put into small letters; those without a vowel stay, since engines spell them."""

_STAGE = (
    "laugh chuckle giggle sigh smile grin gasp cough whisper shout yell pause clear sniff sob cry weep nod shrug wink "
    "groan moan hum sing whistle snort yawn clap applau cheer breathe inhale exhale gulp mumble mutter scoff blush "
    "wave frown smirk beam hesitate stutter stammer music sound audio applause background sfx silence beat"
)
STAGE_VERBS = tuple(_STAGE.split())
"""How the first or second word of a stage direction begins: "*laughs*", "(softly sighs)"."""
