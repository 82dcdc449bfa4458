"""Pulls as jobs that outlive requests, tabs and processes."""
