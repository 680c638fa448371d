"""Workers on Kubernetes: renders their Jobs, and talks to the API. Nothing else here knows that there is a cluster."""
