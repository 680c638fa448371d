"""How configurations are proposed: one small frozen description for each sampler."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tuner_service.domain.numbers import NonNegativeInt


class Random(BaseModel):
    """Independent draws from the whole search space."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["random"] = "random"
    seed: NonNegativeInt | None = None  #: seed of the draws; without one the study's own seed is used


class Tpe(BaseModel):
    """Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), as Optuna's ``TPESampler``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["tpe"] = "tpe"
    seed: NonNegativeInt | None = None  #: seed of the draws; without one the study's own seed is used
    startup_trials: NonNegativeInt = 10  #: random configurations before the first model-based one
    candidates: int = Field(
        default=24, ge=1, strict=True
    )  #: draws among which each model-based configuration is the best
    #: parameters are modelled together; ``None`` leaves it to Optuna (together for a single objective)
    multivariate: bool | None = None
    constant_liar: bool = True  #: running trials count as poor ones, so that parallel workers spread out


Sampler = Annotated[Random | Tpe, Field(discriminator="kind")]
