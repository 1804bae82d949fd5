# SPDX-License-Identifier: GPL-2.0-or-later
"""API models of what is sent to `[[notify.webhooks]]`: events of CloudEvents 1.0."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from xdpctl.model.effect import Action, Mode
from xdpctl.notify.changes import Severity
from xdpctl.notify.message import EVENTS


class ToldRule(BaseModel):
    """A rule of the incident."""

    id: str
    action: Action
    match: str = Field(description="The match as text")
    mode: Mode
    ended_at: datetime | None
    people: str | None = Field(description="Whom it hits, in words; null: not measured")


class ToldIncident(BaseModel):
    """An incident, with its first rules."""

    id: str
    subject: str
    open: bool
    opened_at: datetime
    closed_at: datetime | None
    closed_by: str | None = Field(description="Who or what closed it; null: it is open")
    attacks: list[str]
    detectors: list[str]
    peak_pps: float
    peak_bps: float
    rules_made: int
    rules_ended: int
    tag: str = Field(description="The tag of its rules, to end them")
    rules: list[ToldRule] = Field(description="At most ten")


class ToldFile(BaseModel):
    """A file that belongs to the message."""

    name: str
    base64: str = Field(description="Its content")


class ToldData(BaseModel):
    """What happened."""

    host: str = Field(description="Name of the host that sends it")
    severity: Severity = Field(description="How bad it is")
    title: str = Field(description="One line, with the host before it")
    text: str
    link: str | None = Field(description="Address of the page of the incident; null: none is known")
    incident: ToldIncident | None = Field(description="null: it is about no incident")
    files: list[ToldFile] = Field(description="Reports of abuse, for example")


class ToldEvent(BaseModel):
    """An event (CloudEvents 1.0), signed in the headers that Standard Webhooks 1.0.0 defines."""

    specversion: Literal["1.0"] = Field(description="Version of CloudEvents")
    id: str = Field(description="The same if it is sent again; also the header `webhook-id`")
    source: str = Field(description="`/xdpctl/` and the name of the host")
    type: str = Field(description="What kind it is", json_schema_extra={"enum": list(EVENTS)})
    time: datetime = Field(description="When it was made, in UTC")
    datacontenttype: Literal["application/json"] = Field(description="Media type of `data`")
    subject: str | None = Field(default=None, description="Id of the incident, if it is about one")
    data: ToldData = Field(description="What happened")
