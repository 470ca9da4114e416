"""What a handler is sent, and what its answer means for the delivery.

Leans on the form codec and the retry schedule. QUERY_DATA goes out as it came in; only the `auth` block is made
here, for each try anew (protocol.md section 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.core.model import DeliveryState, EventItem, Outcome, Verdict
from relay.core.phpform import build_form
from relay.core.retry import next_due_ms

if TYPE_CHECKING:
    from relay.core.model import App, Portal
    from relay.core.rules import DeliveryRules

_NOT_PARAMETERS = frozenset({"LOCAL_USER", "application_token", "domain", "member_id"})
EVENT_ID_HEADER = "X-Relay-Event-Id"
ATTEMPT_HEADER = "X-Relay-Attempt"
REPLAY_HEADER = "X-Relay-Replay"
BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class EventToken:
    """The token of one try; refresh_token where the item asked for one."""

    access_token: str
    expires: int
    refresh_token: str | None = None


def wants_token(item: EventItem, app: App | None) -> bool:
    """Whether this item's handler gets a token: asked for, by an application that may have one, for a user."""
    return item.send_auth and item.user_id > 0 and app is not None and app.usable and not item.auth_given


def token_parameters(item: EventItem) -> dict[str, str]:
    """What came with the event and must come back in `rest.check` (protocol.md section 4)."""
    return {name: value for name, value in item.auth.items() if name not in _NOT_PARAMETERS}


def handler_body(
    item: EventItem,
    portal: Portal,
    app: App | None,
    token: EventToken | None,
    *,
    server_endpoint: str,
    now: int,
) -> bytes:
    """The form POSTed to the handler: QUERY_DATA unchanged, `ts` where it is missing, and the auth block."""
    auth = item.auth if item.auth_given else _auth_block(item, portal, app, token, server_endpoint, now)
    tail: list[tuple[str, str]] = [] if item.has_ts else [("ts", str(now))]
    tail += [(_bracketed("auth", name), value) for name, value in auth.items()]
    return "&".join(part for part in (item.form, build_form(tail)) if part).encode("ascii")


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of a delivery after a try. blocks: whether its lane goes on waiting for it."""

    state: DeliveryState
    due_at_ms: int
    hold_reason: str | None = None
    blocks: bool = True


def settle(outcome: Outcome, rules: DeliveryRules, *, tries: int, since_ms: int, now_ms: int, spread: float) -> Settled:
    """The state after a try. Never drops: past its budget a delivery is held, and probed from time to time.

    tries: how many there were in the running budget, which began at since_ms. spread: a random number in [0, 1).
    """
    if outcome.verdict is Verdict.DELIVERED:
        return Settled(DeliveryState.DONE, now_ms, blocks=False)
    blocks = not (rules.skip_after and tries >= rules.skip_after)
    if outcome.verdict is Verdict.HOLD:
        return Settled(DeliveryState.HELD, now_ms, outcome.error or "refused", blocks)
    due_ms = next_due_ms(rules.retry, attempt=tries, since_ms=since_ms, now_ms=now_ms, spread=spread)
    if due_ms is None:
        return Settled(DeliveryState.HELD, now_ms + round(rules.retry.cap_s * 1000), BUDGET, blocks)
    asked_ms = round(min(outcome.retry_after_s or 0.0, rules.retry_after_cap_s) * 1000)
    if not blocks:
        return Settled(DeliveryState.HELD, max(due_ms, now_ms + asked_ms), BUDGET, blocks)
    return Settled(DeliveryState.DUE, max(due_ms, now_ms + asked_ms))


def is_handlers_fault(outcome: Outcome) -> bool:
    """Whether a failed try says something of the handler as a whole, and not of this one event."""
    status = outcome.status
    return outcome.verdict is Verdict.RETRY and (status is None or status >= 500 or status == 429)


def _auth_block(
    item: EventItem, portal: Portal, app: App | None, token: EventToken | None, server_endpoint: str, now: int
) -> dict[str, str]:
    block: dict[str, str] = {}
    if token is not None and app is not None:
        block = {
            "access_token": token.access_token,
            "expires": str(token.expires),
            "expires_in": str(max(token.expires - now, 0)),
            "scope": app.scope,
            "status": app.status,
            "user_id": str(item.user_id),
        }
        if token.refresh_token is not None:
            block["refresh_token"] = token.refresh_token
    block |= {
        "domain": portal.host,
        "client_endpoint": portal.client_endpoint,
        "server_endpoint": server_endpoint,
        "member_id": portal.member_id,
    }
    if "application_token" in item.auth:
        block["application_token"] = item.auth["application_token"]
    return block


def _bracketed(name: str, member: str) -> str:
    """`auth` and `a[b]` → `auth[a][b]`."""
    head, bracket, rest = member.partition("[")
    return f"{name}[{head}]{bracket}{rest}"
