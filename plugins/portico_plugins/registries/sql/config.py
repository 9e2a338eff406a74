"""What can be configured of the `sql` registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import attrs

from portico.api import Secret, doc
from portico_plugins.fields import number, seconds
from portico_plugins.registries.sql.address import address_of, missing_driver


def _usable(_: Any, __: Any, url: Secret | None) -> None:
    if url is not None and (missing := missing_driver(address_of(url.reveal()).dialect)):
        raise ValueError(missing)


@attrs.frozen
class SqlConfig:
    """Config of the `sql` registry."""

    url: Secret | None = attrs.field(
        default=None,
        validator=_usable,
        metadata=doc(
            "`postgresql://USER:PASSWORD@HOST/DATABASE`, `mariadb://...`, `mysql://...`, or "
            "`sqlite:///FILE`. By default a SQLite file in `gateway.state`, named like the registry.",
            example="postgresql://portico@db.internal/portico",
        ),
    )
    password: Secret | None = attrs.field(
        default=None,
        metadata=doc("The password, where it is not part of `url`.", example="${file:/run/secrets/db}"),
    )
    tls: Literal["off", "require", "verify"] | None = attrs.field(
        default=None,
        metadata=doc(
            "TLS to the database: none, any certificate, or one that is verified. By default what `sslmode` "
            "in `url` says, else whatever the server offers (PostgreSQL) or none (MariaDB, MySQL)."
        ),
    )
    ca: Path | None = attrs.field(
        default=None,
        metadata=doc(
            "Certificates (PEM) that `verify` trusts; by default those of the system.", exists="file"
        ),
    )
    pool: int = number(3, "The most connections of a worker, but for one more.")
    timeout: float = seconds(3.0, "Seconds after which the database counts as away; large writes get more.")
    poll: float = seconds(
        0.4,
        "Seconds between two looks at whether another gateway has changed something. PostgreSQL says so "
        "by itself, and is asked ten times less often.",
    )
