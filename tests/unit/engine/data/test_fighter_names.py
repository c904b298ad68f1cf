from __future__ import annotations

from collections import Counter

import pytest

from engine.data.fighter_name_aliases import ALIASES
from engine.data.fighter_names import FighterIndex, split_name
from engine.errors import AmbiguousFighterError, UnknownFighterError

NAMES = [
    "José Aldo",
    "Sean O'Malley",
    "Benoit Saint Denis",
    "Khalil Rountree Jr.",
    "Kai Kamaka III",
    "Zhang Weili",
    "JunYong Park",
    "Kevin Lee",
    "Alexander Volkanovski",
    "Jan Blachowicz",
    "Antonio Carlos Junior",
    "Bruno Silva",
    "John Doe",
    "John Doe Jr.",
    "Diego Lima",
    "Carlos Diego Ferreira",
]


@pytest.fixture(scope="module")
def index() -> FighterIndex:
    return FighterIndex([f"id {name}" for name in NAMES], NAMES, [name == "Bruno Silva" for name in NAMES])


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("jose aldo", "José Aldo"),
        ("Aldo, José", None),
        ("SEAN OMALLEY", "Sean O'Malley"),
        ("Sean O’Malley", "Sean O'Malley"),  # noqa: RUF001 - the typographic apostrophe is the point
        ("Benoît Saint-Denis", "Benoit Saint Denis"),
        ("Benoit St. Denis", "Benoit Saint Denis"),
        ("Khalil Rountree", "Khalil Rountree Jr."),
        ("Khalil Rountree, JR", "Khalil Rountree Jr."),
        ("Khalil Rountree Sr.", None),
        ("Kai Kamaka", "Kai Kamaka III"),
        ("Kai Kamaka II", None),
        ("Antonio Carlos Jr", "Antonio Carlos Junior"),
        ("Weili Zhang", "Zhang Weili"),
        ("Park Jun-Yong", "JunYong Park"),
        ("Lee Kevin", None),
        ("Alex Volkanovski", "Alexander Volkanovski"),
        ("Jan Błachowicz", "Jan Blachowicz"),
        ("Dhiego Lima", "Diego Lima"),
        ("Diego Ferreira", "Carlos Diego Ferreira"),
        ("John Doe Jr", "John Doe Jr."),
        ("John Doe Sr", "John Doe"),
        ("Alexandre Volkanovski", None),
        ("", None),
        ("?!", None),
    ],
)
def test_a_spelling_means_one_fighter_or_nobody(index: FighterIndex, spelling: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(UnknownFighterError):
            index.find_id(spelling)
    else:
        assert index.find_id(spelling) == f"id {name}"


def test_an_unknown_name_comes_with_the_nearest_and_the_way_out(index: FighterIndex) -> None:
    with pytest.raises(UnknownFighterError, match=r"'Jose Aldoo'.*nearest: José Aldo\); .*debut=true"):
        index.find_id("Jose Aldoo")


def test_what_may_be_several_people_is_never_guessed(index: FighterIndex) -> None:
    with pytest.raises(AmbiguousFighterError, match=r"John Doe \(id John Doe\).*John Doe Jr\. \(id John Doe Jr\.\)"):
        index.find_id("john doe")
    with pytest.raises(AmbiguousFighterError, match="does not distinguish the fighters named 'Bruno Silva'"):
        index.find_id("Bruno Silva")


def test_names_that_collide_are_ambiguous() -> None:
    index = FighterIndex(["1", "2", "3"], ["Su Li", "Suli", "Alex Gustafsson"], [False, False, False])
    with pytest.raises(AmbiguousFighterError):
        index.find_id("Su-Li")
    assert index.find_id("Alexander Gustafsson") == "3"
    both_orders = FighterIndex(["1", "2"], ["Zhang Wei", "Wei Zhang"], [False, False])
    assert both_orders.find_id("Zhang Wei") == "1"


def test_names_are_split_into_words_and_suffix() -> None:
    assert split_name("José O'Neil, Jr.") == (("jose", "oneil"), "jr")
    assert split_name("Junior Dos Santos") == (("junior", "dos", "santos"), "")
    assert split_name("Antonio Junior") == (("antonio", "junior"), "")


def test_every_spelling_in_the_table_is_of_one_person() -> None:
    keys = Counter("".join(split_name(spelling)[0]) for spellings in ALIASES for spelling in spellings)
    assert [key for key, times in keys.items() if times > 1] == []
