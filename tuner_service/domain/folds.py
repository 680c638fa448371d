"""Folds: the rows for training and validation cut n times, so that each configuration is judged on all of them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Split = Literal["k-fold", "stratified", "grouped", "stratified-grouped", "time-series"]


class Folds(BaseModel):
    """Cross-validation by scikit-learn's splitter of that name, over the rows of ``train`` and ``validation`` together.

    Every configuration gets the same folds; the test part is left out of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    n: int = Field(5, ge=2, le=100)  #: folds; each is a training of its own
    #: stratified keeps the shares of the classes, grouped keeps a group's rows together (Data(groups=...)), time-series
    #: trains on what came before
    split: Split = "k-fold"
    shuffle: bool | None = None  #: whether rows are shuffled first; by default they are, except in a time series
    seed: int | None = Field(None, ge=0, lt=2**32)  #: of the shuffle; by default it follows from the study's

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.split == "time-series" and self.shuffle:
            raise ValueError("folds: a time series is cut in the order of its rows; leave shuffle out")
        return self

    @property
    def shuffled(self) -> bool:
        """Whether rows are shuffled first."""
        return self.split != "time-series" if self.shuffle is None else self.shuffle
