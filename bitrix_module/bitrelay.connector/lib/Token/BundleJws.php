<?php

// Promises: turns the relay's signed validation bundle into plain, checked data, or says why not.
// Leans on: the contract in relay/core/bundle.py; vectors in tests/vectors/bundle.json.
// Must never: choose an algorithm, a key or a type by what the document itself offers.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

use Bitrelay\Connector\Module;

final class BundleJws
{
    private const MAX_BYTES = 2097152;

    /**
     * @param array<mixed> $jwks the document of /.well-known/jwks.json
     * @return array<string, mixed> the claims
     * @throws BundleRefused
     */
    public static function open(string $jws, array $jwks, string $issuer, string $audience, int $now): array
    {
        $parts = explode('.', $jws);
        if (count($parts) !== 3 || strlen($jws) > self::MAX_BYTES) {
            throw new BundleRefused('not a compact JWS');
        }
        $header = self::json($parts[0]);
        if (($header['alg'] ?? null) !== 'ES256' || ($header['typ'] ?? null) !== 'relay-bundle+jwt') {
            throw new BundleRefused('wrong alg or typ');
        }
        if (array_key_exists('crit', $header) || array_key_exists('b64', $header)) {
            throw new BundleRefused('critical header');
        }
        $signature = Base64Url::decode($parts[2]);
        $jwk = self::key($jwks, $header['kid'] ?? null);
        if ($jwk === null) {
            throw new BundleRefused('unknown kid', true);
        }
        if ($signature === null || !Es256::verify($parts[0] . '.' . $parts[1], $signature, $jwk)) {
            throw new BundleRefused('bad signature');
        }
        $claims = self::json($parts[1]);
        self::checkClaims($claims, $issuer, $audience, $now);
        return $claims;
    }

    /** @param array<mixed> $claims */
    private static function checkClaims(array $claims, string $issuer, string $audience, int $now): void
    {
        if (!is_string($claims['iss'] ?? null) || rtrim($claims['iss'], '/') !== rtrim($issuer, '/')) {
            throw new BundleRefused('another issuer');
        }
        if (($claims['aud'] ?? null) !== $audience) {
            throw new BundleRefused('another portal');
        }
        if (!is_int($claims['exp'] ?? null) || $claims['exp'] <= $now) {
            throw new BundleRefused('expired');
        }
        if (!is_int($claims['iat'] ?? null) || $claims['iat'] > $now + Module::CLOCK_SKEW_ALLOWED_S * 5) {
            throw new BundleRefused('issued in the future');
        }
        foreach (['keys', 'apps', 'revoked', 'through'] as $name) {
            if (!is_array($claims[$name] ?? null)) {
                throw new BundleRefused('no ' . $name);
            }
        }
    }

    /** @return array<string, mixed> */
    private static function json(string $part): array
    {
        $bytes = Base64Url::decode($part);
        $value = $bytes === null ? null : json_decode($bytes, true, 16);
        if (!is_array($value)) {
            throw new BundleRefused('not JSON');
        }
        return $value;
    }

    /**
     * @param array<mixed> $jwks
     * @return array<mixed>|null
     */
    private static function key(array $jwks, mixed $kid): ?array
    {
        foreach (is_array($jwks['keys'] ?? null) ? $jwks['keys'] : [] as $jwk) {
            if (is_string($kid) && is_array($jwk) && ($jwk['kid'] ?? null) === $kid) {
                return $jwk;
            }
        }
        return null;
    }
}
