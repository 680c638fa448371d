"""How configurations are proposed: one small frozen description for each sampler."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from tuner_service.domain.attempt import Param
from tuner_service.domain.numbers import NonNegativeInt, PositiveInt

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class _Sampler(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    seed: NonNegativeInt | None = None  #: seed of the draws; without one the study's own seed is used


class Random(_Sampler):
    """Independent draws from the whole search space."""

    kind: Literal["random"] = "random"


class Tpe(_Sampler):
    """Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), as Optuna's ``TPESampler``."""

    kind: Literal["tpe"] = "tpe"
    startup_trials: NonNegativeInt = 10  #: random configurations before the first model-based one
    candidates: PositiveInt = 24  #: draws among which each model-based configuration is the best
    #: parameters are modelled together; ``None`` leaves it to Optuna (together for a single objective)
    multivariate: bool | None = None
    group: bool = False  #: parameters that occur together are modelled together: for conditional spaces
    constant_liar: bool = True  #: running trials count as poor ones, so that parallel workers spread out

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.group and self.multivariate is False:
            raise ValueError("sampler: group=True models parameters together; leave multivariate=False out")
        return self


class GaussianProcess(_Sampler):
    """Bayesian optimisation with a Gaussian process, as Optuna's ``GPSampler``; needs the extra ``gp`` (torch)."""

    kind: Literal["gp"] = "gp"
    startup_trials: NonNegativeInt = 10  #: random configurations before the first model-based one
    deterministic: bool = False  #: the objective has no noise: the same configuration gives the same value


class CmaEs(_Sampler):
    """Covariance matrix adaptation (Hansen, arXiv:1604.00772), by the package ``cmaes``, for numbers."""

    kind: Literal["cma-es"] = "cma-es"
    #: trials a generation; by default 4 + 3 ln(parameters)
    population: int | None = Field(default=None, ge=4, strict=True)
    sigma: float = Field(default=1 / 6, gt=0.0, le=1.0)  #: first standard deviation, as a share of each range


class QuasiRandom(_Sampler):
    """A low-discrepancy sequence, which covers the space more evenly than random draws."""

    kind: Literal["quasi-random"] = "quasi-random"
    sequence: Literal["sobol", "halton"] = "sobol"  #: which one; both scrambled with the seed


class Nsga2(_Sampler):
    """Elitist genetic algorithm (Deb et al., IEEE TEC 2002), as Optuna's ``NSGAIISampler``; for several objectives."""

    kind: Literal["nsga2"] = "nsga2"
    population: int = Field(default=50, ge=2, strict=True)  #: trials a generation; the first one is random
    crossover_probability: Probability = 0.9  #: that a configuration has two parents
    swapping_probability: Probability = 0.5  #: that a parameter comes from the other parent
    mutation_probability: Probability | None = None  #: of each parameter; by default one parameter a configuration


class Nsga3(_Sampler):
    """NSGA-II with reference points (Deb and Jain, IEEE TEC 2014), as Optuna's; for more than three objectives."""

    kind: Literal["nsga3"] = "nsga3"
    population: int = Field(default=50, ge=2, strict=True)  #: trials a generation; the first one is random
    crossover_probability: Probability = 0.9  #: that a configuration has two parents
    swapping_probability: Probability = 0.5  #: that a parameter comes from the other parent
    mutation_probability: Probability | None = None  #: of each parameter; by default one parameter a configuration
    divisions: PositiveInt = 3  #: of each objective, between the reference points


class CustomSampler(_Sampler):
    """Any sampler that is installed where the study is created and where its workers run, by its dotted name."""

    kind: Literal["custom"] = "custom"
    path: str = Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")  #: such as optuna.samplers.TPESampler
    arguments: dict[str, JsonValue] = Field(
        default_factory=dict
    )  #: for its constructor; ``seed`` is given if it has one


class Grid(_Sampler):
    """Every cell of a finite search space once, in the order in which the study's code asks, the last one fastest."""

    kind: Literal["grid"] = "grid"
    #: choices for each parameter, as for scikit-learn's ``param_grid``; without it the code is tried to find the cells
    space: dict[str, tuple[Param, ...]] | None = None
    #: values, evenly spread, of a range that has no ``step``
    points: int | None = Field(default=None, ge=2, strict=True)

    @model_validator(mode="after")
    def _check_choices(self) -> Self:
        for name, choices in (self.space or {}).items():
            if not choices:
                raise ValueError(f"sampler.space.{name}: has no choices; give at least one, or leave it out")
            if len({(type(one), one) for one in choices}) < len(choices):
                raise ValueError(f"sampler.space.{name}: names a choice twice; keep one")
        return self


class BruteForce(_Sampler):
    """Every cell of a finite search space once, in random order, so that a part of it is a fair sample."""

    kind: Literal["brute-force"] = "brute-force"


Sampler = Annotated[
    Random | Tpe | GaussianProcess | CmaEs | QuasiRandom | Nsga2 | Nsga3 | CustomSampler | Grid | BruteForce,
    Field(discriminator="kind"),
]

#: The samplers by their short names.
SAMPLERS: dict[str, type[_Sampler]] = {
    "random": Random,
    "tpe": Tpe,
    "gp": GaussianProcess,
    "cma-es": CmaEs,
    "quasi-random": QuasiRandom,
    "nsga2": Nsga2,
    "nsga3": Nsga3,
    "custom": CustomSampler,
    "grid": Grid,
    "brute-force": BruteForce,
}


def is_exhaustive(sampler: Sampler) -> bool:
    """Return whether a sampler tries each cell of a finite space: then the cells are the budget."""
    return isinstance(sampler, Grid | BruteForce)
