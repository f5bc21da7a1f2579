"""Copies that were marked, on record: who got which, what a leak was found to be, and the evidence of it."""
