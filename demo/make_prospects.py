"""Makes prospects.csv: 2,000 made-up people at reserved domains (RFC 2606, RFC 6761) and at SES' mailbox
simulator, and the dirt of real files.

Run `python demo/make_prospects.py`; it gives the same file every time.
"""

import csv
import io
import random
import unicodedata
from itertools import product
from pathlib import Path

PEOPLE = 2_000
COLUMNS = ["email", "first_name", "last_name", "company", "tags", "city", "job_title"]

_FIRST = """
Ada Aino Amélie Anouk Aylin Ben Björn Bruno Camille Chiara Clara Dilek Elif Emil Erik Fatima Felix Fiona François Freya
Giulia Greta Hanna Hugo Ida Ines Ivan Jakob Jana João José Jonas Jürgen Karim Katarzyna Klara Lars Léa Leon Linnéa Lucía
Luka Maja Marta Mateo Mila Mohammed Nadia Nils Noor Olga Oskar Pia Priya Rafael Rosa Sami Søren Sven Tariq Theo Uma Vera
Yara Zoë
"""
_LAST = """
Abbott Almeida Andersson Bakker Becker Bianchi Björk Blanc Brandt Byron Çelik Costa Dahl Dubois Eklund Faber Fischer
Fuchs García Gruber Haas Hansen Hoffmann Horvat Ilves Jansen Johnson Jørgensen Kaya Keller König Kowalski Kruse Larsen
Lefèvre Lind López Maier Marino Martin Meyer Moreau Müller Nieminen Novák Okafor Öztürk Petrov Quist Rossi Roth Sánchez
Sato Schäfer Schulz Silva Sørensen Strauß Tamm Thomas Ueda Vogel Wagner Weiß Winkler Wójcik Yilmaz Zimmermann
"""
_PLACES = ["Amsterdam", "Berlin", "København", "Göteborg", "Łódź", "Madrid", "Milano", "München", "Paris", "Wien", "Zürich", ""]
_TITLES = ["CEO", "CTO", "Head of Marketing", "Office Manager", "Accessibility Lead", "Professor", "Procurement, EU", ""]
_TAGS = ["newsletter", "trade fair 2026", "university", "library", "public sector", "trial", "partner"]
_FIELDS = ["Print", "Data", "Books", "Health", "Energy", "Logistics", "Design", "Press", "Archive", "Optics", "Media", "Tools"]
_NAMES = [
    "Nordic",
    "Alpine",
    "Harbour",
    "Linden",
    "Meridian",
    "Quartz",
    "Saffron",
    "Tidal",
    "Umbra",
    "Violet",
    "Willow",
    "Zenith",
]
_FORMS = ["GmbH", "AB", "Ltd", "S.A.", ", Inc.", "& Söhne", '"Studio"', "\nEurope"]
_ENDINGS = [".example", ".test", ".example.com", ".example.org", ".example.net"]
_NO_ACCENT = str.maketrans({"ø": "o", "Ø": "O", "ß": "ss", "ł": "l", "Ł": "L"})

# Rows that an import must refuse, each for another reason.
_REFUSED = ["", "ada.lovelace", "max@@example.com", "eva@localhost", "Tom Byte <tom@example.com>", "a@example.com, b@example.com"]
_REFUSED += ["zero\u200bwidth@example.com", "n/a", "jürgen@example.com", ".dot@example.org"]
_DOUBLES, _BLANK_LINES = 12, 6
# Their mail meets what the name says; all among the first, so that the demo soon has something of everything.
_FATES = ["bounce", "success", "complaint", "ooto", "suppressionlist", "bounce", "success", "bounce", "ooto", "complaint"]
_FATE_EVERY = 17


def make_prospects() -> str:
    """The file's text, without the byte order mark."""
    dice = random.Random(2026)
    names = dice.sample(list(product(_FIRST.split(), _LAST.split())), PEOPLE)
    companies = _companies(dice)
    rows = [_person(dice, first, last, dice.choice(companies)) for first, last in names]
    _add_fates(rows)
    _add_dirt(dice, rows)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(row) if row else file.write("\r\n")
    return file.getvalue()


def _companies(dice: random.Random) -> list[tuple[str, str]]:
    """Names and domains; a few names need quotes in CSV, one domain is international."""
    made = [("Bücher & Töchter", "bücher.example")]
    for number, (name, field) in enumerate(product(_NAMES, _FIELDS)):
        form = _FORMS[number % len(_FORMS)]
        space = "" if form[0] in ",\n" else " "
        made.append((f"{name} {field}{space}{form}", f"{name}-{field}{dice.choice(_ENDINGS)}".lower()))
    return made


def _person(dice: random.Random, first: str, last: str, company: tuple[str, str]) -> list[str]:
    address = f"{_ascii(first)}.{_ascii(last)}@{company[1]}".lower()
    tags = "; ".join(dice.sample(_TAGS, dice.choice([0, 1, 1, 2, 3])))
    row = [address, first, last, company[0], tags, dice.choice(_PLACES), dice.choice(_TITLES)]
    if dice.random() < 0.02:
        return [f"  {cell} " for cell in row]
    if dice.random() < 0.02:
        row[0] = address.upper()
    return row


def _add_fates(rows: list[list[str]]) -> None:
    """Give some people an address whose fate is known."""
    for row, fate in zip(rows[3::_FATE_EVERY], _FATES, strict=False):
        row[0] = f"{fate}+{_ascii(row[1].strip())}.{_ascii(row[2].strip())}@simulator.amazonses.com".lower()


def _add_dirt(dice: random.Random, rows: list[list[str]]) -> None:
    """Doubles in another spelling after their originals, refused rows and blank lines anywhere."""
    doubles = [[f" {row[0].swapcase()}", *row[1:]] for row in dice.sample(rows[: PEOPLE // 2], _DOUBLES)]
    for row in doubles:
        rows.insert(dice.randrange(PEOPLE // 2 + 50, len(rows)), row)
    for address in _REFUSED:
        rows.insert(dice.randrange(len(rows)), [address, "Nobody", "Refused", "", "", "", ""])
    for _ in range(_BLANK_LINES):
        rows.insert(dice.randrange(len(rows)), [])


def _ascii(name: str) -> str:
    return unicodedata.normalize("NFKD", name.translate(_NO_ACCENT)).encode("ascii", "ignore").decode()


if __name__ == "__main__":
    Path(__file__).with_name("prospects.csv").write_text(make_prospects(), encoding="utf-8-sig", newline="")
