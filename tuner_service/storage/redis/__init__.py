"""The ledger's backend on Redis, for those who have nothing else: Optuna's journal, leases as keys that expire.

What it does not promise, since several keys are not one transaction and a server may forget: `docs/architecture.md`.
"""
