"""`nigaoe keys`: who may call the API, and how they check webhooks."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nigaoe_api.api_keys import TENANT_PATTERN, ApiKey, create_key, read_keys, revoke_key
from nigaoe_core.errors import UsageError
from nigaoe_core.jobs import ANONYMOUS
from nigaoe_core.settings import load_settings

app = typer.Typer(name="keys", help="API keys: give out, list, revoke.", no_args_is_help=True)

_File = Annotated[
    Path | None, typer.Option("--file", help="File of hashed keys; default: NIGAOE_API_KEYS_FILE.", dir_okay=False)
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whom the key is for.")],
    *,
    tenant: Annotated[
        str | None, typer.Option(help="Whose jobs it orders and sees; default: made from the name. Keys may share one.")
    ] = None,
    rate_limit: Annotated[
        str | None, typer.Option(help="Requests, such as 600/minute; default: the settings'.")
    ] = None,
    convert_rate_limit: Annotated[str | None, typer.Option(help="Photos, such as 100/hour.")] = None,
    max_active_jobs: Annotated[int | None, typer.Option(help="Unfinished jobs at a time.", min=1)] = None,
    file: _File = None,
    as_json: _Json = False,
) -> None:
    """Make a key and show it, this once: only its hash is kept."""
    from nigaoe_api.rate_limits import parse_limit

    for limit in (rate_limit, convert_rate_limit):
        if limit is not None:
            parse_limit(limit)
    text, key = create_key(
        _path(file),
        name,
        tenant or _tenant_from(name),
        rate_limit=rate_limit,
        convert_rate_limit=convert_rate_limit,
        max_active_jobs=max_active_jobs,
    )
    secret = _webhook_secret(key.tenant)
    if as_json:
        typer.echo(json.dumps({"key": text, "webhook_secret": secret} | _shown(key), indent=2, ensure_ascii=False))
        return
    console = Console()
    console.print(f"[bold]{escape(text)}[/]", soft_wrap=True)
    console.print(f"For {escape(key.name)}, tenant {key.tenant}. Keep it safe: it cannot be shown again.")
    console.print(f"Its webhooks are signed with {secret}", soft_wrap=True)


@app.command("list")
def list_keys(*, file: _File = None, as_json: _Json = False) -> None:
    """Show all keys by id; the keys themselves are not kept."""
    keys = read_keys(_path(file)).keys
    if as_json:
        typer.echo(json.dumps([_shown(key) for key in keys], indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "name", "tenant", "made", "revoked", "limits"):
        table.add_column(column, overflow="fold")
    for key in keys:
        limits = ", ".join(f"{name} {value}" for name, value in _limits(key).items())
        revoked = f"[red]{_day(key.revoked_at)}[/]" if key.revoked_at else ""
        table.add_row(f"[bold]{key.id}[/]", escape(key.name), key.tenant, _day(key.created_at), revoked, escape(limits))
    console = Console()
    console.print(table)
    if not keys:
        console.print("There are no keys yet: nobody can call a service that asks for them.")


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="See `nigaoe keys list`.")], *, file: _File = None) -> None:
    """Make a key useless at once, on all running servers. Its jobs stay."""
    key = revoke_key(_path(file), key_id)
    Console().print(f"The key {key.id} for {escape(key.name)} is revoked.")


@app.command("webhook-secret")
def show_webhook_secret(
    tenant: Annotated[str, typer.Argument(help="Whose webhooks; calls without an API key are `public`.")] = ANONYMOUS,
) -> None:
    """Show the secret that a tenant checks webhooks with (Standard Webhooks)."""
    if not re.fullmatch(TENANT_PATTERN, tenant):
        raise UsageError("A tenant's name has 1 to 64 of the characters a-z, 0-9, '-' and '_'.")
    typer.echo(_webhook_secret(tenant))


def _path(file: Path | None) -> Path:
    path = file or load_settings().api_keys_file
    if path is None:
        raise UsageError("Say which file: --file, or NIGAOE_API_KEYS_FILE, which the service needs as well.")
    return path


def _webhook_secret(tenant: str) -> str:
    from nigaoe_api.webhooks import webhook_secret
    from nigaoe_core.signing_secret import load_signing_secret

    return webhook_secret(load_signing_secret(load_settings()), tenant)


def _tenant_from(name: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64]
    if not slug:
        raise UsageError("This name makes no tenant: give one with --tenant, of the characters a-z, 0-9, '-' and '_'.")
    return slug


def _shown(key: ApiKey) -> dict[str, object]:
    return key.model_dump(exclude={"sha256"}, exclude_none=True)


def _limits(key: ApiKey) -> dict[str, object]:
    names = ("rate_limit", "convert_rate_limit", "max_active_jobs")
    return {name: value for name in names if (value := getattr(key, name)) is not None}


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
