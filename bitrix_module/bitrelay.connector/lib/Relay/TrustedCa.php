<?php

// Promises: the relay's own CA is trusted for calls to the relay's host, without touching php.ini.
// Leans on: the CA kept in the settings; OpenSSL wants a file, so this node gets one on first need.
// Must never: widen trust for any other host, or switch verification off.

declare(strict_types=1);

namespace Bitrelay\Connector\Relay;

use Bitrelay\Connector\Portal\NodeCache;
use Bitrix\Main\Web\HttpClient;

final class TrustedCa
{
    public function __construct(private readonly string $pem, private readonly NodeCache $cache)
    {
    }

    public function apply(HttpClient $client): void
    {
        $path = $this->path();
        if ($path !== null) {
            $client->setContextOptions(['ssl' => ['cafile' => $path]]);
        }
    }

    /** @return string|null the file, null when no CA of its own is set or this node cannot write one */
    public function path(): ?string
    {
        if ($this->pem === '') {
            return null;
        }
        $name = 'ca-' . substr(hash('sha256', $this->pem), 0, 16) . '.pem';
        $path = $this->cache->path($name);
        return is_file($path) || $this->cache->write($name, $this->pem) ? $path : null;
    }
}
