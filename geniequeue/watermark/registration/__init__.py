"""Where the pixels of an original went in a leak: features or correlation find it, alignment makes it exact.

A matrix maps pixel centres of the plane to pixel centres of the leak (homogeneous, 3x3). Candidates are judged by how
well the *pictures* agree, never by the score of a code word: that would be a look at the codes.
"""
