"""Measuring a model on purpose."""
