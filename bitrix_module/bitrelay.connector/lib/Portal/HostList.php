<?php

// Promises: tells whether a URL's host is on a list of host names (exact, or *.suffix) and CIDRs.
// Leans on: inet_pton; names are never resolved here, so a CIDR matches only a literal address.
// Must never: match a URL it cannot parse.

declare(strict_types=1);

namespace Bitrelay\Connector\Portal;

final class HostList
{
    /** @param list<string> $entries */
    public function __construct(private readonly array $entries)
    {
    }

    public function matches(string $url): bool
    {
        $host = parse_url($url, PHP_URL_HOST);
        if (!is_string($host) || $host === '') {
            return false;
        }
        $host = strtolower(trim($host, '[]'));
        foreach ($this->entries as $entry) {
            if (self::entryMatches(strtolower($entry), $host)) {
                return true;
            }
        }
        return false;
    }

    /** @return list<string> entries that are neither a name nor an address nor a CIDR */
    public function faults(): array
    {
        $valid = '/^(\*\.)?[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/i';
        return array_values(array_filter(
            $this->entries,
            static fn (string $entry): bool => str_contains($entry, '/')
                ? self::cidr($entry) === null
                : self::address($entry) === null && preg_match($valid, $entry) !== 1
        ));
    }

    private static function entryMatches(string $entry, string $host): bool
    {
        if (str_starts_with($entry, '*.')) {
            return str_ends_with($host, substr($entry, 1));
        }
        if (!str_contains($entry, '/')) {
            $address = self::address($entry);
            return $address === null ? $entry === $host : $address === self::address($host);
        }
        $cidr = self::cidr($entry);
        $address = self::address($host);
        if ($cidr === null || $address === null || strlen($address) !== strlen($cidr[0])) {
            return false;
        }
        return self::prefix($address, $cidr[1]) === self::prefix($cidr[0], $cidr[1]);
    }

    /** @return array{0: string, 1: int}|null */
    private static function cidr(string $entry): ?array
    {
        [$base, $length] = explode('/', $entry, 2);
        $address = self::address($base);
        if ($address === null || !ctype_digit($length) || (int)$length > strlen($address) * 8) {
            return null;
        }
        return [$address, (int)$length];
    }

    private static function prefix(string $address, int $bits): string
    {
        $whole = intdiv($bits, 8);
        $rest = $bits % 8;
        $prefix = substr($address, 0, $whole);
        return $rest === 0 ? $prefix : $prefix . chr(ord($address[$whole]) & (0xFF << (8 - $rest) & 0xFF));
    }

    /** inet_pton warns on text that is no address; a list may hold names as well. */
    private static function address(string $text): ?string
    {
        if (filter_var($text, FILTER_VALIDATE_IP) === false) {
            return null;
        }
        $address = inet_pton($text);
        return $address === false ? null : $address;
    }
}
