"""The engine: compares the graph with what is there, plans, acts, and says what it sees.

Knows neither kopf nor the Azure SDK nor any Azure type by name.
"""
