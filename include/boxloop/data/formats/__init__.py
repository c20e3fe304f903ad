"""Annotation formats, each a pure parse and a pure write, a round trip exact.

The product itself writes VOC and the study's CSV. The other writers serve whoever takes boxes
elsewhere, and prove the parsers.
"""
