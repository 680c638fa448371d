"""HTTP: optuna-dashboard behind a login, metrics for Prometheus, a read API, live curves."""
