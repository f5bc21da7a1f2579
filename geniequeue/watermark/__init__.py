"""Invisible watermark: a mark per delivered copy, and what a leak says about whose copy it was.

Pure arrays: no files, no network, no records. Nothing is imported here, so that the light modules stay light:

- `plane`: the grey picture kept per asset, at most 1024 pixels wide or high
- `embedding`: puts a copy's mark into a picture; `pattern` is the mark itself, `mask` what the eye forgives
- `reading`: registers a leak to the plane and reads the chips; `registration/`, `residual`, `detector` are its steps
- `scoring`: compares the chips with the code words of the copies on record
- `statistics`: from which score on a copy is named, and how probable it is that an innocent is accused (no numpy)
- `blind`: reads 48 bits without knowing which asset it is; `tile` and `payload` are its pattern and its code
"""
