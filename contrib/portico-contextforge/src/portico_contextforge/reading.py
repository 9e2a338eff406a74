"""Fields of bodies, checked one by one, with every problem told at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

import attrs

from portico.api import About, Json
from portico_contextforge.errors import invalid, later
from portico_contextforge.shown import words_of

Visibility = Literal["private", "team", "public"]
_VISIBILITIES: Final[Mapping[str, Visibility]] = {"private": "private", "team": "team", "public": "public"}


class Fields:
    """The members of a body, and what is wrong with them.

    Args:
        body: In snake case.
    """

    def __init__(self, body: Json) -> None:
        self.body = body
        self.problems: list[tuple[str, str]] = []

    def __contains__(self, name: str) -> bool:
        return self.body.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """A string."""
        value = self.body.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            self.problems.append((name, "Input should be a valid string"))
            return default
        return value.strip()

    def required(self, name: str) -> str:
        """A string that must be there."""
        text = self.text(name)
        if not text and not any(place == name for place, _ in self.problems):
            self.problems.append((name, "Field required"))
        return text

    def flag(self, name: str, default: bool) -> bool:
        """A boolean."""
        value = self.body.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.problems.append((name, "Input should be a valid boolean"))
            return default
        return value

    def words(self, name: str) -> list[str]:
        """A list of strings; objects stand for their ids."""
        value = self.body.get(name)
        if value is None:
            return []
        if isinstance(value, str):
            value = [word.strip() for word in value.split(",") if word.strip()]
        if not isinstance(value, list):
            self.problems.append((name, "Input should be a valid list"))
            return []
        return [str(each.get("id") if isinstance(each, Mapping) else each) for each in value]

    def about(self, before: About | None = None) -> About:
        """What people say of it; what is not in the body stays."""
        about = before or About()
        visibility = _VISIBILITIES.get(self.text("visibility", about.visibility))
        if visibility is None:
            self.problems.append(("visibility", f"Input should be one of {', '.join(_VISIBILITIES)}"))
            visibility = about.visibility
        return attrs.evolve(
            about,
            enabled=self.flag("enabled", self.flag("is_active", about.enabled)),
            description=self.text("description", about.description),
            tags=words_of(self.body["tags"]) if "tags" in self else about.tags,
            owner=self.text("owner_email", about.owner),
            team=self.text("team_id", about.team),
            visibility=visibility,
        )

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Refuse what cannot be done here, rather than leave it out in silence.

        Args:
            reasons: Member -> why. Empty members are no wishes.

        Raises:
            Trouble: 501.
        """
        for name, why in reasons.items():
            if self.body.get(name):
                raise later(f"{name}: {why}")

    def only(self, allowed: Iterable[str], shown: Json, why: str) -> None:
        """Have every other member be as it is already: nothing that was asked for is left out in silence.

        Args:
            allowed: Members that may differ.
            shown: The thing, in camel case.
            why: What to say of others.
        """
        known = {each.replace("_", "").lower(): value for each, value in shown.items()}
        for name, value in self.body.items():
            if name in allowed or value is None:
                continue
            here = known.get(name.replace("_", "").lower())
            if value != here and (value or here):
                self.problems.append((name, why))

    def check(self) -> None:
        """Whether everything was right.

        Raises:
            Trouble: 422.
        """
        if self.problems:
            raise invalid(self.problems)
