<?php

// Promises: reads the relay's 70-hex access tokens and verifies their seal, byte for byte as the relay does.
// Leans on: HMAC-SHA256; layout in relay/core/sealed.py, shared vectors in tests/vectors/sealed.json.
// Must never: accept a token in any spelling but the canonical one.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

final class SealedToken
{
    public const HEX_LENGTH = 70;

    private const HEAD_HEX_LENGTH = 42;
    private const MAC_BYTES = 14;
    private const CONTEXT = "relay-access-token-v1\x00";

    /** 70 lower-case hex characters, reserved bit clear. Tokens of the cloud can look the same. */
    public static function looksSealed(string $token): bool
    {
        return strlen($token) === self::HEX_LENGTH
            && strspn($token, '0123456789abcdef') === self::HEX_LENGTH
            && $token[10] < '8';
    }

    /** Read the claims without verifying them, to find which key to verify with; null if misshapen. */
    public static function peek(string $token): ?Claims
    {
        if (!self::looksSealed($token)) {
            return null;
        }
        $head = (string)hex2bin(substr($token, 0, self::HEAD_HEX_LENGTH));
        $f = (array)unpack('Vexpires/Ckey/Cflags/vtz/VserialLow/Vuser/Capp0/Capp1/Capp2/vserialHigh', $head);
        $tz = $f['tz'] >= 0x8000 ? $f['tz'] - 0x10000 : $f['tz'];
        return new Claims(
            $f['expires'],
            $f['key'],
            $f['user'],
            $f['app0'] | $f['app1'] << 8 | $f['app2'] << 16,
            sprintf('%04x%08x', $f['serialHigh'], $f['serialLow']),
            ($f['flags'] & 0x10) !== 0 ? $f['flags'] & 0x0F : null,
            ($f['flags'] & 0x20) !== 0 ? $tz : null,
            ($f['flags'] & 0x40) !== 0
        );
    }

    /** Whether the seal is this key's, compared in constant time. Says nothing of expiry or revocation. */
    public static function verify(string $token, string $key): bool
    {
        if (!self::looksSealed($token)) {
            return false;
        }
        $raw = (string)hex2bin($token);
        $head = substr($raw, 0, -self::MAC_BYTES);
        $mac = substr(hash_hmac('sha256', self::CONTEXT . $head, $key, true), 0, self::MAC_BYTES);
        return hash_equals($mac, substr($raw, -self::MAC_BYTES));
    }
}
