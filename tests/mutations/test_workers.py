"""Each flaw that is planted in workers, deciders or the service is found, with a short story."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, settings

from tests.mutations.mutation import FOUND, choose_settings
from tests.mutations.workers import FLAWS, PLACES, Flaw, Place
from tests.support.profile import pick
from traction.testing import explore

SOUND = settings(max_examples=pick(20, 15_000), suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(("number", "flaw"), [*enumerate(FLAWS.values())], ids=FLAWS)
def test_a_planted_flaw_is_found_with_at_most_five_deviations(
    number: int, flaw: Flaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaw.plant(monkeypatch)
    chosen = choose_settings(number)
    test = chosen(explore(flaw.place.flow, **flaw.place.world)(flaw.place.check))
    with pytest.raises(flaw.shows) as found:
        test()
    story = "".join(found.value.__notes__)
    again = re.search(r'\.at\("(.*)"\)', story)
    assert again is not None
    assert len(again[1].split()) <= 5 or chosen is FOUND, story
    with pytest.raises(flaw.shows):
        test.at(again[1])


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_without_a_flaw_nothing_is_found(place: Place) -> None:
    SOUND(explore(place.flow, **place.world)(place.check))()
