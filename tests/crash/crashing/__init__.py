"""Kills a real operator process at every call, and compares what comes of it with an undisturbed life.

Knows the operator by its process, its settings, its calls and the objects that users see, and by nothing else.
"""
