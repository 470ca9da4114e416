<?php

// Promises: verifies an ES256 (ECDSA P-256, SHA-256) signature under a public JWK.
// Leans on: OpenSSL; JOSE carries raw numbers, OpenSSL wants DER, so both are converted here.
// Must never: accept another curve, another key type or a signature of another length.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

final class Es256
{
    private const COORDINATE_BYTES = 32;
    /** SubjectPublicKeyInfo of an uncompressed P-256 point, up to the point itself (RFC 5480). */
    private const SPKI_PREFIX_HEX = '3059301306072a8648ce3d020106082a8648ce3d03010703420004';

    /** @param array<mixed> $jwk */
    public static function verify(string $message, string $signature, array $jwk): bool
    {
        $pem = self::pem($jwk);
        if ($pem === null || strlen($signature) !== self::COORDINATE_BYTES * 2) {
            return false;
        }
        $key = openssl_pkey_get_public($pem);
        return $key !== false && openssl_verify($message, self::der($signature), $key, OPENSSL_ALGO_SHA256) === 1;
    }

    /** @param array<mixed> $jwk */
    private static function pem(array $jwk): ?string
    {
        if (($jwk['kty'] ?? null) !== 'EC' || ($jwk['crv'] ?? null) !== 'P-256') {
            return null;
        }
        if (($jwk['alg'] ?? 'ES256') !== 'ES256' || ($jwk['use'] ?? 'sig') !== 'sig') {
            return null;
        }
        $x = Base64Url::decode($jwk['x'] ?? null);
        $y = Base64Url::decode($jwk['y'] ?? null);
        if (strlen((string)$x) !== self::COORDINATE_BYTES || strlen((string)$y) !== self::COORDINATE_BYTES) {
            return null;
        }
        $der = hex2bin(self::SPKI_PREFIX_HEX) . $x . $y;
        return "-----BEGIN PUBLIC KEY-----\n" . chunk_split(base64_encode($der), 64, "\n") . "-----END PUBLIC KEY-----\n";
    }

    /** r || s to SEQUENCE { INTEGER r, INTEGER s }; both are short, so every length fits one byte. */
    private static function der(string $signature): string
    {
        $numbers = '';
        foreach (str_split($signature, self::COORDINATE_BYTES) as $number) {
            $number = ltrim($number, "\x00");
            if ($number === '' || ord($number[0]) >= 0x80) {
                $number = "\x00" . $number;
            }
            $numbers .= "\x02" . chr(strlen($number)) . $number;
        }
        return "\x30" . chr(strlen($numbers)) . $numbers;
    }
}
