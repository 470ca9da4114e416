<?php

// Promises: seals tokens and signs bundles as the relay does, for tests; the vectors keep it honest.
// Leans on: OpenSSL.
// Must never: be used outside the tests.

declare(strict_types=1);


namespace Bitrelay\Tests;

final class Issuer
{
    /** @param array<string, mixed> $c */
    public static function seal(array $c, string $key): string
    {
        $flags = ($c['has_stored_parameters'] ?? false) ? 0x40 : 0;
        $flags |= isset($c['event_session']) ? 0x10 | $c['event_session'] : 0;
        $flags |= isset($c['tz_offset_min']) ? 0x20 : 0;
        $serial = hexdec($c['serial']);
        $head = pack('VCCvVV', $c['expires'], $c['key_id'], $flags, ($c['tz_offset_min'] ?? 0) & 0xFFFF, $serial & 0xFFFFFFFF, $c['user_id'])
            . substr(pack('V', $c['app_number']), 0, 3) . pack('v', $serial >> 32);
        return bin2hex($head . substr(hash_hmac('sha256', "relay-access-token-v1\x00" . $head, $key, true), 0, 14));
    }

    /** @param array<string, mixed> $claims */
    public static function sign(array $claims, string $pem, string $kid): string
    {
        $text = self::b64(json_encode(['alg' => 'ES256', 'typ' => 'relay-bundle+jwt', 'kid' => $kid])) . '.' . self::b64(json_encode($claims));
        openssl_sign($text, $der, openssl_pkey_get_private($pem), OPENSSL_ALGO_SHA256);
        $numbers = '';
        for ($at = 2; $at < strlen($der); $at += 2 + ord($der[$at + 1])) {
            $numbers .= str_pad(ltrim(substr($der, $at + 2, ord($der[$at + 1])), "\x00"), 32, "\x00", STR_PAD_LEFT);
        }
        return $text . '.' . self::b64($numbers);
    }

    /** @return array<string, mixed> */
    public static function jwks(string $pem, string $kid): array
    {
        $ec = openssl_pkey_get_details(openssl_pkey_get_private($pem))['ec'];
        return ['keys' => [[
            'kty' => 'EC', 'crv' => 'P-256', 'use' => 'sig', 'alg' => 'ES256', 'kid' => $kid,
            'x' => self::b64(str_pad($ec['x'], 32, "\x00", STR_PAD_LEFT)),
            'y' => self::b64(str_pad($ec['y'], 32, "\x00", STR_PAD_LEFT)),
        ]]];
    }

    public static function wrap(int $keyId, string $key, string $secret, string $memberId): string
    {
        $nonce = random_bytes(12);
        $box = openssl_encrypt(
            $key,
            'aes-256-gcm',
            hash_hkdf('sha256', $secret, 32, 'relay-bundle-keys-v1', $memberId),
            OPENSSL_RAW_DATA,
            $nonce,
            $tag,
            'relay-bundle-key:' . $keyId
        );
        return self::b64($nonce . $box . $tag);
    }

    public static function b64(string $bytes): string
    {
        return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    }
}
