<?php

// Promises: base64url without padding (RFC 7515 section 2), strictly.
// Leans on: nothing.
// Must never: accept padding, white space or a second spelling of the same bytes.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

final class Base64Url
{
    public static function decode(mixed $text): ?string
    {
        if (!is_string($text) || preg_match('/^[A-Za-z0-9_-]*$/D', $text) !== 1) {
            return null;
        }
        $bytes = base64_decode(strtr($text, '-_', '+/'), true);
        return $bytes === false || self::encode($bytes) !== $text ? null : $bytes;
    }

    public static function encode(string $bytes): string
    {
        return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    }
}
