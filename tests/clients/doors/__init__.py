"""Every door of every client that is installed here. Each client's doors are in a file of its own."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec

from .door import Door

_FILES = {
    "openai": "openai_doors",
    "anthropic": "anthropic_doors",
    "google-genai": "google_doors",
    "boto3": "bedrock_doors",
    "mistralai": "mistral_doors",
    "cohere": "cohere_doors",
    "groq": "groq_doors",
    "together": "together_doors",
    "ollama": "ollama_doors",
    "voyageai": "voyage_doors",
    "huggingface_hub": "huggingface_doors",
    "litellm": "litellm_doors",
}


def installed(package: str) -> bool:
    """Whether a client's package can be imported."""
    try:
        return find_spec(package.replace("-", ".")) is not None
    except ModuleNotFoundError:
        return False


CHOSEN = os.environ.get("AICOST_TEST_CLIENTS")
"""The clients to test, by package and separated by commas; all that are installed when it is not set."""
CLIENTS = [name for name in (CHOSEN.split(",") if CHOSEN else _FILES) if installed(name)]
DOORS: list[Door] = [door for name in CLIENTS for door in import_module(f"{__name__}.{_FILES[name]}", __name__).DOORS]
