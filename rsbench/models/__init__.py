"""Models: providers that turn requests into replies; `registry` builds one from a name."""
