"""Mutants of the protocol: copies of this project with one promise broken, each of which the suite has to notice.

A crash test or an attack test that cannot fail is worth nothing; `make mutants` shows that these can.
"""
