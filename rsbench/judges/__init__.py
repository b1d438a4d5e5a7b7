"""Judges: how each kind of judge turns a reply into a verdict."""
