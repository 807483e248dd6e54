"""Each flaw that is planted in a flow is found, and told as a short story; its mended twin holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutations import effects, lives, orders, replays, rollouts
from tests.mutations.mutation import Plant

PLANTS = {
    name.replace("_", " "): plant
    for module in (effects, lives, orders, replays, rollouts)
    for name, plant in vars(module).items()
    if isinstance(plant, Plant)
}

LOOKS = settings(
    max_examples=200,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)

# 50, and 10,000 in the nightly profile.
_EXAMPLES = settings.default.max_examples
SOUND = settings(max_examples=4 * _EXAMPLES if _EXAMPLES > 50 else _EXAMPLES, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_a_planted_flaw_is_found_and_told_in_five_deviations_at_the_most(plant: Plant) -> None:
    test: Any = plant.explore(plant.flawed)
    with pytest.raises(plant.error) as found:
        LOOKS(test)()
    told: Any = found.value
    assert len(told.deviations.split()) <= 5, told.story
    with pytest.raises(plant.error):
        test.at(told.deviations)


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_its_mended_twin_holds(plant: Plant) -> None:
    SOUND(plant.explore(plant.mended))()
