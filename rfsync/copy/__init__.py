"""Copies a whole database into another one, of either kind, and proves that both have the same.

``run`` has the steps. ``rows`` reads and writes the rows of any table in a form that both databases share; ``source``
and ``target`` are the two ends; ``sqlite`` and ``postgres`` what the kinds of database do in their own ways.
"""
