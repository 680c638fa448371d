"""The worker: claims trials, keeps their leases, supervises the children that train, settles the outcomes."""
