"""Each flaw that is planted in a flow is found, with a short story; the corrected flow passes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.mutations import effects, lives, orders, replays, rollouts
from tests.mutations.mutation import FOUND, Plant, choose_settings
from tests.support.profile import pick

PLANTS = {
    name.replace("_", " "): plant
    for module in (effects, lives, orders, replays, rollouts)
    for name, plant in vars(module).items()
    if isinstance(plant, Plant)
}

SOUND = settings(max_examples=pick(20, 10_000), suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize(("number", "plant"), [*enumerate(PLANTS.values())], ids=PLANTS)
def test_a_planted_flaw_is_found_with_at_most_five_deviations(number: int, plant: Plant) -> None:
    test: Any = plant.explore(plant.flawed)
    chosen = choose_settings(number)
    with pytest.raises(plant.error) as found:
        chosen(test)()
    failure: Any = found.value
    assert len(failure.deviations.split()) <= 5 or chosen is FOUND, failure.story
    with pytest.raises(plant.error):
        test.at(failure.deviations)


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_the_corrected_flow_passes(plant: Plant) -> None:
    SOUND(plant.explore(plant.corrected))()
