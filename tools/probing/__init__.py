"""Probes for unimodal leaks; see `tools/probes.py`."""
