<?php

// Promises: a parsed address.
// Leans on: parse_url.
// Must never: resolve names.

declare(strict_types=1);


namespace Bitrix\Main\Web;

use Psr\Http\Message\UriInterface;

class Uri implements UriInterface
{
    /** @var array<string, mixed> */
    private array $parts;

    public function __construct(private readonly string $url)
    {
        $this->parts = parse_url($url) ?: [];
    }

    public function getHost()
    {
        return strtolower($this->parts['host'] ?? '');
    }

    public function getPath()
    {
        return $this->parts['path'] ?? '/';
    }

    public function scheme(): string
    {
        return $this->parts['scheme'] ?? 'http';
    }

    public function port(): int
    {
        return $this->parts['port'] ?? ($this->scheme() === 'https' ? 443 : 80);
    }

    public function target(): string
    {
        return $this->getPath() . (isset($this->parts['query']) ? '?' . $this->parts['query'] : '');
    }
}
