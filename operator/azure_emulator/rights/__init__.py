"""Who may do what: roles, the conditions of their assignments, and what follows from both.

Nothing in here answers a request: the gate and the types of Microsoft.Authorization are in providers/authorization.py.
"""
