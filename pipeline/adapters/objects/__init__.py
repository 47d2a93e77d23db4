"""Corpora in object stores: a working copy on disk, and a bucket that is brought into step with it."""
