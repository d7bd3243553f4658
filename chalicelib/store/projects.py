"""Reads of projects."""

from chalicelib.store.models import Project
from chalicelib.store.reads import get


def get_project(number: int) -> Project:
    """The project with this number; raises NotFound."""
    return get(Project, number, missing=f"there is no project {number}")
