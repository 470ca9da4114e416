"""The validation bundle: what a portal's module needs to check access tokens while the relay is away.

Leans on sealed tokens and on JWS (RFC 7515) by PyJWT. Never holds a sealing key in the clear, and never
promises more than its `exp`: past it the module must ask the relay.

Contract
========

`POST /rest/relay.bundle` with the portal's credentials (as every `/rest/` call) and, if the caller has one,
`ETAG`. Answer `{"result": {"not_modified": true, "etag": E}}`, or
`{"result": {"not_modified": false, "etag": E, "bundle": JWS}}`. A bundle is renewed once half its life is over,
so a caller that asks every minute always holds at least half of it.

JWS, compact form: header `{"alg": "ES256", "kid": K, "typ": "relay-bundle+jwt"}`; K is found in
`/.well-known/jwks.json`. Refuse any other `alg` or `typ`, any `crit`, and ignore `jwk`, `jku`, `x5u`. Claims:

- `iss`  the relay's public URL; `aud` the portal's member_id; `iat`, `exp` unix seconds (default 24 h apart)
- `keys` the portal's sealing keys, a list of `{"id": 0-255, "nbf": s, "exp": s, "key": B}`:
  `exp` is when the last token made with it ends. B = base64url without padding of
  nonce (12 bytes) || AES-256-GCM ciphertext || tag (16 bytes), where
  key = HKDF-SHA256(ikm = client_secret as ASCII, salt = member_id as ASCII, info = "relay-bundle-keys-v1", 32 bytes)
  and the additional data is the ASCII text "relay-bundle-key:" followed by the decimal key id
- `apps` a list of `[number, client_id, scope, status, active]`: number as in the sealed token, scope a comma
  string, status one letter, active 1 or 0
- `revoked` a list of `[serial, expires]`: serial as 12 lower-case hex digits, most significant first
- `through` marks: `{"portal": s, "apps": {"NUMBER": s}, "users": {"USER_ID": s}}`, each optional: every token of
  that portal, app or user whose expiry is **at or before** the mark is revoked

A token is good when its key is listed and its seal verifies, its expiry is in the future and not after the
key's `exp`, its app is listed and active, and neither `revoked` nor a mark hits it. A token whose flag says
"more parameters are stored" must be checked at the relay (`rest.check`).
Test vectors: tests/vectors/bundle.json.
"""
