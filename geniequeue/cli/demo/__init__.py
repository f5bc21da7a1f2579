"""`make demo`: a photograph through the whole system, every output checked from outside, on an instance of its own."""
