<?php

// Promises: reads the one line that `relay portal add` prints: address, one-time code, CA certificate.
// Leans on: base64url(JSON {"v":1,"url","code","ca"?}).
// Must never: accept a line it does not wholly understand.

declare(strict_types=1);

namespace Bitrelay\Connector\Relay;

final class ConnectionCode
{
    private const MAX_BYTES = 65536;

    public function __construct(
        public readonly string $url,
        public readonly string $code,
        public readonly string $ca,
    ) {
    }

    /** @throws \InvalidArgumentException with the key of a message for people */
    public static function parse(string $line): self
    {
        $line = (string)preg_replace('/\s+/', '', $line);
        if ($line === '' || strlen($line) > self::MAX_BYTES || preg_match('/^[A-Za-z0-9_-]+=*$/', $line) !== 1) {
            throw new \InvalidArgumentException('CODE_MALFORMED');
        }
        $json = base64_decode(strtr(rtrim($line, '='), '-_', '+/'), true);
        $fields = $json === false ? null : json_decode($json, true, 4);
        if (!is_array($fields)) {
            throw new \InvalidArgumentException('CODE_MALFORMED');
        }
        if (($fields['v'] ?? null) !== 1) {
            throw new \InvalidArgumentException('CODE_VERSION');
        }
        [$url, $code, $ca] = [$fields['url'] ?? null, $fields['code'] ?? null, $fields['ca'] ?? ''];
        if (!is_string($url) || !is_string($code) || !is_string($ca) || $code === '') {
            throw new \InvalidArgumentException('CODE_MALFORMED');
        }
        return new self(self::origin($url), $code, self::pem($ca));
    }

    /**
     * An http(s) origin without a trailing slash: the relay is served at the root of one.
     *
     * @throws \InvalidArgumentException
     */
    public static function origin(string $url): string
    {
        $url = rtrim(trim($url), '/');
        $parts = parse_url($url);
        $allowed = is_array($parts) && in_array($parts['scheme'] ?? '', ['http', 'https'], true)
            && ($parts['host'] ?? '') !== ''
            && array_diff(array_keys($parts), ['scheme', 'host', 'port']) === [];
        if (!$allowed) {
            throw new \InvalidArgumentException('URL_MALFORMED');
        }
        return $url;
    }

    /** @throws \InvalidArgumentException for text that holds no certificate; an empty text stays empty */
    public static function pem(string $text): string
    {
        $text = trim($text);
        if ($text === '') {
            return '';
        }
        $found = preg_match_all('/-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----/s', $text, $blocks);
        if ($found === false || $found === 0) {
            throw new \InvalidArgumentException('CA_MALFORMED');
        }
        foreach ($blocks[0] as $block) {
            if (@openssl_x509_read($block) === false) {
                throw new \InvalidArgumentException('CA_MALFORMED');
            }
        }
        return implode("\n", $blocks[0]) . "\n";
    }
}
