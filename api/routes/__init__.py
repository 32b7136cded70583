"""The raw routes, one file a concern."""

from __future__ import annotations

from api.routes import catalogue, edge_objects, events, lists, recommendations

ROUTES = [*recommendations.ROUTES, *lists.ROUTES, *events.ROUTES, *catalogue.ROUTES, *edge_objects.ROUTES]
