"""A trained model behind HTTP, on LitServe: requests, limits, worker processes, metrics, a page."""
