"""The invisible watermark against attacks, collusion, innocents and the eye, beside the two libraries on PyPI."""
