"""Requests as its own OpenAPI allows and forbids them; the 10,000 are in benchmarks/serve_fuzz.py."""

import random

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from benchmarks.serve_fuzz import Fuzz, bodies, pictures
from tests.serve.fake import Answers, Index, serving
from workbench.serve.app import make_app
from workbench.serve.limits import Limits
from workbench.serve.service import Service
