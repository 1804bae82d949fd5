# SPDX-License-Identifier: GPL-2.0-or-later
"""The shape of errors."""

from pydantic import BaseModel, Field


class FieldProblem(BaseModel):
    """A field of the request that is not valid."""

    field: str = Field(description="Path of the field, with dots; empty for the whole body")
    message: str


class Problem(BaseModel):
    """An error (RFC 9457). Members that would be empty are left out."""

    type: str = Field(
        description="Kind of the error; the reference lists them",
        examples=["urn:xdpctl:problem:lockout"],
    )
    title: str = Field(description="The kind in words, the same for each error of the kind")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What is wrong with this request")
    field: str = Field(default="", description="The field that is wrong: `match.source`")
    fix: str = Field(default="", description="What to do instead")
    errors: list[FieldProblem] = Field(
        default=[], description="Each field that is not valid, if the form of the request is wrong"
    )
