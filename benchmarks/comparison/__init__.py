"""Side by side: this package, its peers and the floor, all in one run on one machine.

``stub`` answers, ``subjects`` ask, ``worker`` is a process with one subject in it, ``measures`` are what a
worker can be told to do, ``cases`` run workers in turns, ``starts`` time whole processes, ``targets`` hold
the figures against the project's own bounds, and ``report`` prints them.
"""
