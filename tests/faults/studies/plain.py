"""A worker as Optuna's manual makes one: ``study.optimize`` on a shared database, heartbeats, and retries of the lost."""

import sys
import warnings

import optuna
from fast import EPOCHS, objective

URL, TRIALS = sys.argv[1], int(sys.argv[2])

warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
storage = optuna.storages.RDBStorage(
    URL,
    heartbeat_interval=1,
    grace_period=3,
    heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(max_retry=3),
    # What a careful user adds: a connection that was lost is made anew.
    engine_kwargs={"pool_pre_ping": True},
)
study = optuna.create_study(
    study_name="plain", storage=storage, load_if_exists=True, sampler=optuna.samplers.RandomSampler()
)
assert EPOCHS == 10
study.optimize(objective, callbacks=[optuna.study.MaxTrialsCallback(TRIALS)])
