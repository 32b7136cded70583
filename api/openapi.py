"""One OpenAPI document for raw and FastAPI routes, made of the Structs that validate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.router import Route
from api.wire import Problem

_REF = "#/components/schemas/{name}"
_TITLES = {
    400: "The request breaks its contract; errors name each place",
    404: "There is no such thing",
    405: "The path does not take the method; Allow lists those it takes",
    408: "The body did not come in time",
    413: "The body is too large",
    415: "The body is not application/json",
    429: "Too much at once; Retry-After says when to come back",
    500: "A fault of the server, logged",
    503: "No release is loaded yet, or events cannot be stored; Retry-After says when to come back",
}


def describe(app: FastAPI, routes: Sequence[Route]) -> None:
    """Make ``/openapi.json`` of ``app`` tell of the raw routes too."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app, routes)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def document(app: FastAPI, routes: Sequence[Route]) -> dict[str, Any]:
    """The whole OpenAPI 3.1 document."""
    made: dict[str, Any] = get_openapi(
        title=app.title,
        version=app.version,
        summary="Recommendations for shops",
        description="Everything that is not an answer is an RFC 9457 problem document.",
        routes=app.routes,
    )
    kinds: set[type[msgspec.Struct]] = {Problem}
    for route in routes:
        kinds.update((route.params, *_answers(route), *_bodies(route)))
    _, components = msgspec.json.schema_components(sorted(kinds, key=_name), ref_template=_REF)
    parameters = {kind: _parameters(components, kind) for kind in kinds}
    made.setdefault("components", {}).setdefault("schemas", {}).update(components)
    for route in routes:
        made["paths"].setdefault(route.template, {})[route.method.lower()] = _operation(route, parameters)
    made["paths"]["/readyz"]["get"]["responses"]["503"] = _problem(503)
    return made


def _name(kind: type[msgspec.Struct]) -> str:
    return kind.__name__


def _operation(route: Route, parameters: dict[type, list[dict[str, Any]]]) -> dict[str, Any]:
    opened = re.findall(r"{(\w+)}", route.template)
    path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": route.path_help.get(name, ""),
            "schema": {"type": "string", "minLength": 1},
        }
        for name in opened
    ]
    operation: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{route.handler.__name__}",
        "summary": route.summary,
        "tags": [route.segments[1] if route.segments[0] == "v1" else route.segments[0]],
        "parameters": path + parameters[route.params],
        "responses": {"200": _ok(route)},
    }
    if route.public:
        operation["responses"]["304"] = {"description": "What the client has is current"}
    for status in sorted({*route.statuses, 429, 500, 503}):
        operation["responses"][str(status)] = _problem(status)
    if route.body is not None:
        content: dict[str, Any] = {"schema": _one_of(_bodies(route)), **_examples(route)}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _bodies(route: Route) -> list[type[msgspec.Struct]]:
    """Every kind of body that a route takes."""
    return [kind for kind in (route.body, route.form.body if route.form else None) if kind is not None]


def _answers(route: Route) -> list[type[msgspec.Struct]]:
    """Every kind of JSON that a route answers."""
    return [kind for kind in (route.answer, route.form.answer if route.form else None) if kind is not None]


def _one_of(kinds: Sequence[type[msgspec.Struct]]) -> dict[str, Any]:
    """A schema that fits exactly one of the kinds; any object where there is none."""
    references = [{"$ref": _REF.format(name=kind.__name__)} for kind in kinds]
    if len(references) > 1:
        return {"oneOf": references}
    return references[0] if references else {"type": "object"}


def _examples(route: Route) -> dict[str, Any]:
    """The example of a body; where there are two kinds of body, one of each."""
    if route.example is None:
        return {}
    if route.form is None:
        return {"example": route.example}
    named = {"one list": route.example, route.form.name: route.form.example}
    return {"examples": {name: {"summary": name, "value": value} for name, value in named.items()}}


def _ok(route: Route) -> dict[str, Any]:
    headers = ["ETag", "Cache-Control"] if route.public else ["Cache-Control", "Server-Timing"]
    return {
        "description": route.summary,
        "headers": {name: {"schema": {"type": "string"}} for name in headers},
        "content": {"application/json": {"schema": _one_of(_answers(route))}},
    }


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name="Problem")}
    return {"description": _TITLES[status], "content": {"application/problem+json": {"schema": schema}}}


def _parameters(components: dict[str, Any], kind: type[msgspec.Struct]) -> list[dict[str, Any]]:
    """A Struct's fields as query parameters; lists repeat the name."""
    schema = cast("dict[str, Any]", components[kind.__name__])
    found = []
    for name, field in cast("dict[str, dict[str, Any]]", schema.get("properties", {})).items():
        value = {key: item for key, item in field.items() if key != "default"}
        if "anyOf" in value:  # nothing means null in a query string: it is left out instead
            choices = [
                choice for choice in cast("Iterable[dict[str, Any]]", value.pop("anyOf")) if choice != {"type": "null"}
            ]
            value |= choices[0]
        parameter = {"name": name, "in": "query", "required": name in schema.get("required", []), "schema": value}
        if "description" in value:
            parameter["description"] = value.pop("description")
        if field.get("default"):
            value["default"] = field["default"]
        found.append(parameter)
    return found
