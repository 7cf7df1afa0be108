from __future__ import annotations

import pytest

from inklings.errors import ConfigError
from inklings.optimizers import OPTIMIZERS, PEAK_RATES
from inklings.registry import Registry
from inklings.text.formats.format import COMPRESSIONS, FORMATS
from inklings.text.sources.scheme import SCHEMES
from inklings.training.budgets.budget import parse_budget
from inklings.training.budgets.unit import UNITS


@pytest.mark.parametrize("registry", [OPTIMIZERS, UNITS, FORMATS, COMPRESSIONS, SCHEMES])
def test_every_record_bears_the_name_that_it_is_registered_by(registry: Registry) -> None:  # type: ignore[type-arg]  # of any kind
    assert [record.name for record in registry] == list(registry.places)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown optimizer 'adamv'\. Did you mean 'adamw'"):
        OPTIMIZERS["adamv"]


def test_the_rates_of_an_optimizer_are_settings() -> None:
    for kind in OPTIMIZERS:
        assert {rate.setting for rate in kind.rates} <= PEAK_RATES.keys()


def test_a_unit_reads_its_own_example_and_all_of_its_spellings() -> None:
    for unit in UNITS:
        assert parse_budget(unit.example).unit is unit
        assert all(parse_budget(f"3-{spelling}").unit is unit for spelling in unit.spellings)
    spellings = [spelling for unit in UNITS for spelling in unit.spellings]
    assert len(spellings) == len(set(spellings))
