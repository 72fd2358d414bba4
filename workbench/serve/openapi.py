"""What the server says of itself at /openapi.json, which /docs shows. It reads bodies itself, so it tells them here."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from workbench.serve.asked import Errors, Health
from workbench.serve.kinds import KINDS, Kind
from workbench.serve.reading import FORM
from workbench.serve.refusal import JSON
from workbench.serve.service import Service

Schema = dict[str, Any]
REF = "#/components/schemas/{model}"
MODELS: tuple[type[BaseModel], ...] = (
    Errors,
    Health,
    *(model for kind in KINDS for model in (kind.json, kind.form, kind.answer)),
)
WRONG = {
    404: "this server has no model or index for it",
    408: "the request did not come in time",
    413: "too many bytes",
    415: "neither JSON nor a form",
    422: "a field that can't be used, and why",
    503: "too many requests at once: ask again after Retry-After seconds",
    504: "no answer in time",
}


def post(kind: Kind) -> Schema:
    """Arguments of a path that is asked with a body."""
    body = {JSON: {"schema": _ref(kind.json.__name__)}, FORM: {"schema": _ref(f"{kind.form.__name__}Form")}}
    return {
        "summary": kind.told,
        "operation_id": kind.name,
        "response_class": Response,
        "responses": {200: _content("answers", JSON, _ref(kind.answer.__name__)), **_errors(*WRONG)},
        "openapi_extra": {"requestBody": {"required": True, "content": body}},
    }


def get(told: str, type: str, model: type[BaseModel] | None = None, *wrong: int) -> Schema:
    schema = _ref(model.__name__) if model else {"type": "string"}
    return {
        "summary": told,
        "response_class": Response,
        "responses": {200: _content(told, type, schema), **_errors(*wrong)},
    }


def of(app: FastAPI, service: Service, urls: bool) -> Schema:
    """The whole description, with this model's fields and this server's limits."""
    if not app.openapi_schema:
        found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = models_json_schema([(model, "validation") for model in MODELS], ref_template=REF)[1]["$defs"]
        _add_limits(schemas, service, urls)
        for kind in KINDS:
            schemas[f"{kind.form.__name__}Form"] = _form(schemas[kind.form.__name__], schemas)
        found["components"] = {"schemas": schemas}
        found["paths"]["/picture/{id}"]["get"]["responses"].pop("422", None)  # of the framework: any id can be asked
        app.openapi_schema = found
    return app.openapi_schema


def _add_limits(schemas: Schema, service: Service, urls: bool) -> None:
    limits = service.limits
    text = {"anyOf": [{"type": "string", "maxLength": limits.text}, {"type": "null"}]}
    texts = {"properties": dict.fromkeys(service.fields, text), "additionalProperties": False}
    for name in ("Listing", "Query"):
        schemas[name]["properties"]["texts"] |= texts
        if not urls:
            del schemas[name]["properties"]["picture_url"]
    for name, array, most in (
        ("Listings", "listings", limits.listings),
        ("Wanted", "listings", limits.listings),
        ("Pairs", "pairs", limits.listings // 2),
    ):
        schemas[name]["properties"][array]["maxItems"] = most
    schemas["Wanted"]["properties"]["tasks"]["anyOf"][0]["items"]["enum"] = service.labels
    schemas["Query"]["properties"]["k"]["maximum"] = limits.results


def _form(model: Schema, schemas: Schema, before: str = "") -> Schema:
    """The same as a form: one level, names joined by dots, pictures as files."""
    fields: Schema = {}
    for name, schema in model["properties"].items():
        if "$ref" in schema:
            inner = schemas[schema["$ref"].rpartition("/")[2]]
            fields |= _form(inner, schemas, f"{before}{name}.")["properties"]
        elif name == "texts":
            fields |= {f"{before}texts.{field}": {"type": "string"} for field in schema["properties"]}
        elif name == "picture":
            fields[f"{before}picture"] = {"type": "string", "format": "binary", "description": "a picture's file"}
        else:
            fields[f"{before}{name}"] = schema
    return {"type": "object", "properties": fields, "additionalProperties": False}


def _ref(name: str) -> Schema:
    return {"$ref": REF.format(model=name)}


def _content(told: str, type: str, schema: Schema) -> Schema:
    return {"description": told, "content": {type: {"schema": schema}}}


def _errors(*statuses: int) -> Schema:
    return {status: _content(WRONG[status], JSON, _ref("Errors")) for status in statuses}  # type: ignore[misc]
