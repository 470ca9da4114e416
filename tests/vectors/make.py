"""Writes sealed.json and bundle.json, the vectors that the Python and the PHP tests share.

Leans on the relay's own token codec, PyJWT and cryptography; keys and salts are fixed, so that a second run
changes nothing but the (random) ES256 signatures. Must never be run by a test: the files are committed.

    python tests/vectors/make.py            from the repository's root
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.core import sealed

HERE = Path(__file__).parent
KEY_A = hashlib.sha256(b"vector key a").digest()
KEY_B = hashlib.sha256(b"vector key b").digest()
NOW = 1_800_000_000
ISSUER = "https://relay.vectors.local"
CLIENT_ID = "local.vectors.0001"
CLIENT_SECRET = "vector-secret-0123456789abcdefghijklmnopqrstuvwx"
MEMBER_ID = hashlib.md5(CLIENT_ID.encode(), usedforsecurity=False).hexdigest()


def main() -> None:
    write("sealed.json", sealed_vectors())
    write("bundle.json", bundle_vectors())


def write(name: str, value: Any) -> None:
    (HERE / name).write_text(json.dumps(value, indent=1, ensure_ascii=True) + "\n", encoding="ascii")


def claims_json(claims: sealed.SealedClaims) -> dict[str, Any]:
    return {
        "expires": claims.expires,
        "key_id": claims.key_id,
        "user_id": claims.user_id,
        "app_number": claims.app_number,
        "serial": f"{claims.serial:012x}",
        "event_session": claims.event_session,
        "tz_offset_min": claims.tz_offset_min,
        "has_stored_parameters": claims.has_stored_parameters,
    }


def sealed_vectors() -> list[dict[str, Any]]:
    """Each: name, key (hex), token, valid; claims where the token can be read at all (null else)."""
    good = [
        sealed.SealedClaims(NOW + 3600, 1, 67, 12, 0x0123456789AB, 7, 180),
        sealed.SealedClaims(0, 0, 0, 1, 0),
        sealed.SealedClaims(0xFFFFFFFF, 255, 0xFFFFFFFF, 0xFFFFFF, 0xFFFFFFFFFFFF, 15, 32767, True),
        sealed.SealedClaims(NOW, 2, 1, 300, 0x80000000FFFF, 0, -720),
        sealed.SealedClaims(NOW, 2, 1, 65536, 1, None, 0),
        sealed.SealedClaims(NOW, 2, 1, 65536, 1, None, -32768),
        sealed.SealedClaims(NOW, 9, 2147483648, 256, 0x010000000000, None, None, True),
    ]
    vectors = [
        {
            "name": f"good {i}",
            "key": KEY_A.hex(),
            "token": sealed.seal(c, KEY_A),
            "valid": True,
            "claims": claims_json(c),
        }
        for i, c in enumerate(good)
    ]
    base = good[0]
    token = sealed.seal(base, KEY_A)

    def bad(name: str, key: bytes, text: str) -> None:
        peeked = sealed.peek(text)
        assert not sealed.verify(text, key), name
        vectors.append(
            {
                "name": name,
                "key": key.hex(),
                "token": text,
                "valid": False,
                "claims": claims_json(peeked) if peeked else None,
            }
        )

    bad("another key", KEY_B, token)
    for byte in (0, 4, 5, 6, 8, 12, 16, 19, 21, 34):
        raw = bytearray.fromhex(token)
        raw[byte] ^= 1
        bad(f"bit flipped in byte {byte}", KEY_A, raw.hex())
    raw = bytearray.fromhex(token)
    raw[5] |= 0x80
    bad("reserved bit set", KEY_A, raw.hex())
    bad("upper case", KEY_A, token.upper())
    bad("one character short", KEY_A, token[:-1])
    bad("one byte long", KEY_A, token + "00")
    bad("new line at the end", KEY_A, token + "\n")
    bad("not hex", KEY_A, "g" + token[1:])
    bad("empty", KEY_A, "")
    return vectors


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def wrap(key_id: int, key: bytes, secret: str = CLIENT_SECRET, member_id: str = MEMBER_ID) -> str:
    derived = HKDF(SHA256(), 32, member_id.encode(), b"relay-bundle-keys-v1").derive(secret.encode())
    nonce = hashlib.sha256(b"nonce %d" % key_id).digest()[:12]
    return b64(nonce + AESGCM(derived).encrypt(nonce, key, b"relay-bundle-key:%d" % key_id))


def signing_key(seed: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(b"signing %d" % seed).digest()), ec.SECP256R1())


def jwk(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "use": "sig",
        "alg": "ES256",
        "kid": kid,
        "x": b64(numbers.x.to_bytes(32)),
        "y": b64(numbers.y.to_bytes(32)),
    }


def claims() -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "aud": MEMBER_ID,
        "iat": NOW,
        "exp": NOW + 86400,
        "keys": [
            {"id": 1, "nbf": NOW - 86400, "exp": NOW + 7200, "key": wrap(1, KEY_A)},
            {"id": 2, "nbf": NOW, "exp": NOW + 3600, "key": wrap(2, KEY_B)},
        ],
        "apps": [
            [12, "local.app.12", "crm,im", "L", 1],
            [13, "local.app.13", "user", "L", 0],
            [14, "local.app.14", "", "F", 1],
            [15, "local.app.15", "crm", "L", 1],
        ],
        "revoked": [["0123456789ab", NOW + 3600], ["000000000001", NOW + 3600]],
        "through": {"portal": NOW + 100, "apps": {"15": NOW + 1800}, "users": {"66": NOW + 1800}},
    }


def bundle_vectors() -> dict[str, Any]:
    """Bundles with what must become of them, and tokens with the verdict that bundle 0 must lead to."""
    key, other = signing_key(1), signing_key(2)
    jwks = {"keys": [jwk(other, "other"), jwk(key, "k1")]}

    def sign(
        body: dict[str, Any], *, with_key: Any = key, alg: str = "ES256", kid: str | None = "k1", **header: Any
    ) -> str:
        headers = {"typ": "relay-bundle+jwt", "kid": kid} | header
        raw = json.dumps(body, separators=(",", ":")).encode()
        return jwt.api_jws.encode(raw, with_key, alg, {k: v for k, v in headers.items() if v is not None})

    good = sign(claims())
    head, body, signature = good.split(".")
    public = jwk(key, "k1")
    bundles = [
        {"name": "good", "jws": good, "accepted": True},
        {"name": "signed by another key", "jws": sign(claims(), with_key=other), "accepted": False},
        {"name": "unknown kid", "jws": sign(claims(), kid="gone"), "accepted": False},
        {"name": "no kid", "jws": sign(claims(), kid=None), "accepted": False},
        {"name": "wrong typ", "jws": sign(claims(), typ="JWT"), "accepted": False},
        {"name": "crit header", "jws": sign(claims(), crit=["exp"]), "accepted": False},
        {"name": "own jwk is ignored", "jws": sign(claims(), with_key=other, jwk=jwk(other, "k1")), "accepted": False},
        {"name": "alg none", "jws": sign(claims(), with_key=None, alg="none"), "accepted": False},
        {
            "name": "alg HS256 keyed by the public point",
            "jws": sign(claims(), with_key=(public["x"] + public["y"]), alg="HS256"),
            "accepted": False,
        },
        {"name": "expired", "jws": sign(claims() | {"exp": NOW - 1}), "accepted": False},
        {"name": "from the future", "jws": sign(claims() | {"iat": NOW + 3600}), "accepted": False},
        {"name": "another portal", "jws": sign(claims() | {"aud": "0" * 32}), "accepted": False},
        {"name": "another issuer", "jws": sign(claims() | {"iss": "https://evil.local"}), "accepted": False},
        {"name": "claims missing", "jws": sign(without(claims(), "revoked")), "accepted": False},
        {"name": "signature cut", "jws": f"{head}.{body}.{signature[:-2]}", "accepted": False},
        {"name": "signature padded", "jws": good + "==", "accepted": False},
        {"name": "body changed", "jws": f"{head}.{flip(body)}.{signature}", "accepted": False},
        {"name": "four parts", "jws": good + ".x", "accepted": False},
        {"name": "empty", "jws": "", "accepted": False},
        *more_bundles(sign, good, key, other),
    ]
    return {
        "now": NOW,
        "issuer": ISSUER,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "member_id": MEMBER_ID,
        "jwks": jwks,
        "bundles": bundles,
        "claims": claims(),
        "keys": {"1": KEY_A.hex(), "2": KEY_B.hex()},
        "tokens": token_verdicts(),
    }


def more_bundles(sign: Any, good: str, key: Any, other: Any) -> list[dict[str, Any]]:
    """Header members that are to be ignored, claims left out one by one, signatures that are none."""
    head, body, _ = good.split(".")
    elsewhere = {"jku": "https://evil.local/jwks.json", "x5u": "https://evil.local/chain.pem"}
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    hs_head = b64(json.dumps({"alg": "HS256", "typ": "relay-bundle+jwt", "kid": "k1"}).encode())
    hs = f"{hs_head}.{body}.{b64(hmac.digest(pem, f'{hs_head}.{body}'.encode(), 'sha256'))}"
    der = b64(key.sign(f"{head}.{body}".encode(), ec.ECDSA(SHA256())))
    refused = {
        "no typ": sign(claims(), typ=""),
        "typ of an access token": sign(claims(), typ="at+jwt"),
        "crit that is known elsewhere": sign(claims(), crit=["b64"], b64=True),
        "alg HS256 keyed by the public PEM": hs,
        "signature of zeros": f"{head}.{body}.{b64(bytes(64))}",
        "signature in DER": f"{head}.{body}.{der}",
        "signature missing": f"{head}.{body}.",
        "key from jku": sign(claims(), with_key=other, **elsewhere),
        "white space": good + "\n",
        "ends this second": sign(claims() | {"exp": NOW}),
        "exp is a text": sign(claims() | {"exp": str(NOW + 3600)}),
    }
    refused |= {f"claims missing: {name}": sign(without(claims(), name)) for name in claims()}
    return [
        {"name": "jku and x5u are ignored", "jws": sign(claims(), **elsewhere), "accepted": True},
        {
            "name": "own jwk beside a known kid is ignored",
            "jws": sign(claims(), jwk=jwk(other, "k1")),
            "accepted": True,
        },
        *({"name": name, "jws": jws, "accepted": False} for name, jws in refused.items()),
    ]


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


def flip(part: str) -> str:
    return part[:-5] + ("A" if part[-5] != "A" else "B") + part[-4:]


def token_verdicts() -> list[dict[str, Any]]:
    """Verdicts: good, expired, revoked, forged, no_key, incomplete (ask the relay for its parameters)."""
    live = NOW + 3000

    def token(verdict: str, name: str, key: bytes = KEY_A, **over: Any) -> dict[str, Any]:
        values: dict[str, Any] = {
            "expires": live,
            "key_id": 1,
            "user_id": 67,
            "app_number": 12,
            "serial": 0xABCDEF,
            "event_session": 6,
            "tz_offset_min": 180,
        }
        return {"name": name, "token": sealed.seal(sealed.SealedClaims(**values | over), key), "verdict": verdict}

    return [
        token("good", "plain"),
        token("good", "newer key", KEY_B, key_id=2),
        token("good", "nobody's token", user_id=0),
        token("good", "no parameters", event_session=None, tz_offset_min=None),
        token("good", "empty scope", app_number=14),
        token("good", "other user than the mark", user_id=660),
        token("expired", "one second ago", expires=NOW),
        token("revoked", "by serial", serial=0x0123456789AB),
        token("revoked", "by serial one", serial=1),
        token("revoked", "by the user's mark", user_id=66, expires=NOW + 1800),
        token("good", "made after the user's mark", user_id=66, expires=NOW + 1801),
        token("revoked", "by the app's mark", app_number=15, expires=NOW + 1800),
        token("good", "made after the app's mark", app_number=15, expires=NOW + 1801),
        token("revoked", "by the portal's mark", expires=NOW + 100),
        token("good", "made after the portal's mark", expires=NOW + 101),
        token("revoked", "app switched off", app_number=13),
        token("revoked", "app gone", app_number=99),
        token("revoked", "outlives its key", KEY_B, key_id=2, expires=NOW + 3601),
        token("good", "ends with its key", KEY_B, key_id=2, expires=NOW + 3600),
        token("good", "ends in a second", key_id=2, key=KEY_B, expires=NOW + 101),
        token("revoked", "the largest user id, by no mark but its serial", user_id=0xFFFFFFFF, serial=1),
        token("good", "a serial that begins like a revoked one", serial=0x0123456789AC),
        token("good", "an app whose number ends like a marked one", app_number=12, user_id=1815),
        token("forged", "sealed with another key", KEY_B),
        token("no_key", "key not in the bundle", key_id=3),
        token("incomplete", "more parameters at the relay", has_stored_parameters=True),
        token("revoked", "revoked, with more parameters", has_stored_parameters=True, serial=0x0123456789AB),
    ]


if __name__ == "__main__":
    main()
