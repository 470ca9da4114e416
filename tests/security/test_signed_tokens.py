"""Promises of JWT access tokens: RFC 9068 tokens that any service verifies by JWKS, and RFC 8725 against forgers.

Leans on a real relay over real HTTP, and on PyJWT for the part of a service. Each test is named by the source of its
promise. Must never take a token that any face of the relay refuses.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from tests.integration.live_relay import PUBLIC_URL
from tests.integration.wire import get
from tests.security.forge import callers_keys, odd_shapes, other_algorithms, parts, signed, signing_key
from tests.security.world import Verdicts, another_portal, as_jwt, introspect

if TYPE_CHECKING:
    from tests.integration.site import Site

AUDIENCE = "https://orders.local"


@pytest.fixture
async def jwt_site(site: Site) -> Site:
    """A site whose application is given JWTs for a service of its own."""
    await as_jwt(site, AUDIENCE)
    return site


async def _token(site: Site, **fields: str) -> str:
    return str((await site.authorize(**fields))["access_token"])


async def _verified(site: Site, token: str, audience: str = AUDIENCE) -> dict[str, Any]:
    """What a service does that knows the relay's address and nothing else."""
    metadata = (await site.live.ask(get("/.well-known/oauth-authorization-server"))).json
    jwks = jwt.PyJWKSet.from_dict((await site.live.ask(get("/.well-known/jwks.json"))).json)
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "at+jwt"
    return jwt.decode(
        token,
        jwks[header["kid"]].key,
        algorithms=["ES256"],
        issuer=metadata["issuer"],
        audience=audience,
        options={"require": ["iss", "aud", "exp", "iat", "sub", "jti", "client_id"]},
    )


async def test_rfc9068_4_a_service_verifies_the_token_by_jwks_alone(jwt_site: Site) -> None:
    claims = await _verified(jwt_site, await _token(jwt_site))
    assert claims["client_id"] == jwt_site.app.client_id
    assert claims["sub"] == "67"
    assert claims["scope"] == "crm user placement"
    assert claims["exp"] - claims["iat"] == 3600


async def test_rfc9068_2_2_every_required_claim_is_there_and_no_two_jti_are_alike(jwt_site: Site) -> None:
    said = [parts(await _token(jwt_site))[1] for _ in range(5)]
    assert all({"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} <= set(claims) for claims in said)
    assert len({claims["jti"] for claims in said}) == 5


async def test_rfc9068_2_2_3_a_narrowed_scope_is_the_tokens(jwt_site: Site) -> None:
    assert parts(await _token(jwt_site, SCOPE="user"))[1]["scope"] == "user"


@pytest.mark.parametrize("other", ["https://elsewhere.local", PUBLIC_URL, ""])
async def test_rfc9700_4_10_2_the_audience_is_restricted(jwt_site: Site, other: str) -> None:
    token = await _token(jwt_site)
    assert (await _verified(jwt_site, token))["aud"] == [f"{jwt_site.portal.url}/rest/", AUDIENCE]
    with pytest.raises(jwt.InvalidAudienceError):
        await _verified(jwt_site, token, other)


async def test_rfc9068_3_the_token_works_everywhere_a_sealed_one_does(jwt_site: Site, verdicts: Verdicts) -> None:
    pair = await jwt_site.authorize(**{"PARAMS[EVENT_SESSION]": "5", "PARAMS[TZ_OFFSET]": "10800", "PARAMS[x]": "y"})
    assert await verdicts.of(pair["access_token"]) == "good"
    said = (await jwt_site.check(pair["access_token"])).json["result"]
    assert said["parameters"] == {"LOCAL_USER": "67", "EVENT_SESSION": "5", "TZ_OFFSET": "10800", "x": "y"}
    assert said["access_token"] == pair["access_token"]
    refreshed = (await jwt_site.app.refresh(pair["refresh_token"])).json
    assert (await _verified(jwt_site, refreshed["access_token"]))["sub"] == "67"
    redeemed = (await jwt_site.app.redeem(await jwt_site.code())).json
    assert (await _verified(jwt_site, redeemed["access_token"]))["sub"] == "67"


async def test_rfc7662_2_2_introspection_says_of_a_jwt_what_is_in_it(jwt_site: Site) -> None:
    token = await _token(jwt_site)
    said, (_, claims) = (await introspect(jwt_site.app, token)).json, parts(token)
    assert {name: said[name] for name in ("iss", "sub", "exp", "jti", "client_id", "scope")} == {
        name: claims[name] for name in ("iss", "sub", "exp", "jti", "client_id", "scope")
    }


async def test_rfc7517_4_no_private_key_in_the_key_set(jwt_site: Site) -> None:
    document = (await jwt_site.live.ask(get("/.well-known/jwks.json"))).json
    assert [set(key) for key in document["keys"]] == [{"kty", "crv", "x", "y", "kid", "use", "alg"}]
    assert {(key["kty"], key["crv"], key["use"], key["alg"]) for key in document["keys"]} == {
        ("EC", "P-256", "sig", "ES256")
    }


async def test_rfc8725_3_1_algorithm_pinned_and_none_and_hs_confusion_refused(
    jwt_site: Site, verdicts: Verdicts
) -> None:
    token, key = await _token(jwt_site), await signing_key(jwt_site)
    for name, forged in other_algorithms(token, key):
        assert (name, await verdicts.of(forged)) == (name, "invalid_token")


async def test_rfc8725_3_10_jwk_jku_and_x5u_are_ignored(jwt_site: Site, verdicts: Verdicts) -> None:
    """A key that comes with a token is not looked at, nor fetched."""
    token, key = await _token(jwt_site), await signing_key(jwt_site)
    for name, forged in callers_keys(token, key, jwt_site.sink.url):
        assert (name, await verdicts.of(forged)) == (name, "invalid_token")
    assert jwt_site.sink.calls == []


@pytest.mark.parametrize("typ", ["JWT", "relay-bundle+jwt", "application/at+jwt", "AT+JWT", "id_token+jwt", "", None])
async def test_rfc8725_3_11_typ_required(jwt_site: Site, verdicts: Verdicts, typ: str | None) -> None:
    _, claims = parts(await _token(jwt_site))
    assert await verdicts.of(signed(claims, await signing_key(jwt_site), typ=typ)) == "invalid_token"


async def test_rfc8725_3_11_a_bundle_is_no_token(jwt_site: Site, verdicts: Verdicts) -> None:
    bundle = (await jwt_site.portal.result("relay.bundle"))["bundle"]
    assert await verdicts.of(bundle) == "invalid_token"


@pytest.mark.parametrize("crit", [["exp"], ["b64"], ["urn:unknown"], [], "exp", 1])
async def test_rfc7515_4_1_11_unknown_crit_refused(jwt_site: Site, verdicts: Verdicts, crit: object) -> None:
    _, claims = parts(await _token(jwt_site))
    forged = signed(claims, await signing_key(jwt_site), crit=crit, b64=True)
    assert await verdicts.of(forged) == "invalid_token"


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "iat", "sub", "jti", "client_id", "app", "stored"])
async def test_rfc8725_3_8_required_claims(jwt_site: Site, verdicts: Verdicts, name: str) -> None:
    _, claims = parts(await _token(jwt_site))
    key = await signing_key(jwt_site)
    assert await verdicts.of(signed(claims, key)) == "good"
    del claims[name]
    assert await verdicts.of(signed(claims, key)) == "invalid_token"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", "https://evil.test"),
        ("iss", None),
        ("exp", "9999999999"),
        ("exp", None),
        ("exp", [1]),
        ("iat", "0"),
        ("sub", "admin"),
        ("sub", 67),
        ("sub", "-1"),
        ("jti", "zz"),
        ("jti", 7),
        ("app", 2),
        ("app", "1"),
        ("app", [1]),
        ("app", None),
    ],
)
async def test_rfc8725_3_8_a_claim_of_another_kind_is_a_clean_refusal(
    jwt_site: Site, verdicts: Verdicts, name: str, value: object
) -> None:
    _, claims = parts(await _token(jwt_site))
    assert await verdicts.of(_by_hand({**claims, name: value}, await signing_key(jwt_site))) == "invalid_token"


async def test_rfc8725_3_8_an_expired_token_is_expired(jwt_site: Site, verdicts: Verdicts) -> None:
    _, claims = parts(await _token(jwt_site))
    expired = signed({**claims, "exp": int(time.time()) - 1}, await signing_key(jwt_site))
    assert (await jwt_site.check(expired)).error == "expired_token"
    assert (await introspect(jwt_site.app, expired)).json == {"active": False}


async def test_rfc8725_3_8_another_portals_token_is_unknown(jwt_site: Site) -> None:
    token = await _token(jwt_site)
    second = await another_portal(jwt_site)
    assert (await second.check(token)).error == "invalid_token"


async def test_rfc8725_2_4_odd_shapes_are_clean_refusals(jwt_site: Site, verdicts: Verdicts) -> None:
    for name, bent in odd_shapes(await _token(jwt_site)):
        assert (name, await verdicts.of(bent)) == (name, "invalid_token")


async def test_rfc8725_3_1_a_bundle_is_signed_as_strictly(jwt_site: Site) -> None:
    header, claims = parts((await jwt_site.portal.result("relay.bundle"))["bundle"])
    key = await signing_key(jwt_site)
    assert header == {"alg": "ES256", "kid": key.kid, "typ": "relay-bundle+jwt"}
    assert claims["iss"] == PUBLIC_URL


def _by_hand(claims: dict[str, Any], key: Any) -> str:
    """Signed without PyJWT's own look at the claims."""
    body = json.dumps(claims).encode()
    return jwt.api_jws.encode(body, key.private_key, "ES256", headers={"kid": key.kid, "typ": "at+jwt"})
