<?php

// Promises: the last believed bundle, for every process of every node, at the price of an include.
// Leans on: the shared state for the truth; a PHP file on this node, named by its content, for speed.
// Must never: answer from this node's file for longer than SYNC_S without looking at the shared state.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

use Bitrelay\Connector\Portal\NodeCache;
use Bitrelay\Connector\Portal\State;

final class BundleStore
{
    /** How long a node goes on without asking the shared state. */
    public const SYNC_S = 10;

    private const HEAD = 'bundle_head';
    private const BODY = 'bundle';
    private const POINTER = 'bundle.now';

    private ?Bundle $bundle = null;
    private string $hash = '';
    private int $checkedAt = 0;
    private int $syncedAt = 0;
    private bool $justSynced = false;

    /** @param \Closure(): State $state opened only when this node's own copy is not enough */
    public function __construct(private readonly \Closure $state, private readonly NodeCache $cache)
    {
    }

    /** The bundle in force on this node, expired or not; null when there has never been one. */
    public function current(int $now): ?Bundle
    {
        $this->justSynced = false;
        if ($this->isRecent($now)) {
            return $this->bundle;
        }
        $this->readPointer();
        if (!$this->isRecent($now) || ($this->hash !== '' && $this->bundle === null)) {
            $this->sync($now);
        }
        return $this->bundle;
    }

    /** When the relay last confirmed the bundle, as far as this node knows; unix seconds, 0 = never. */
    public function checkedAt(): int
    {
        return $this->checkedAt;
    }

    /** Whether the last look went to the shared state: the moment to ask how old the bundle is. */
    public function justSynced(): bool
    {
        return $this->justSynced;
    }

    public function etag(): string
    {
        return (string)(($this->state)()->readArray(self::HEAD)['etag'] ?? '');
    }

    /** @param array<string, mixed> $claims verified ones */
    public function replace(array $claims, string $etag, int $now): void
    {
        $body = json_encode(Bundle::compile($claims), JSON_THROW_ON_ERROR);
        $state = ($this->state)();
        $state->write(self::BODY, $body, $now);
        $this->writeHead($state, $etag, self::hashOf($body), $now);
        $this->sync($now);
    }

    /** The relay says that nothing has changed. */
    public function confirm(int $now): void
    {
        $state = ($this->state)();
        $head = $state->readArray(self::HEAD);
        $this->writeHead($state, (string)($head['etag'] ?? ''), (string)($head['hash'] ?? ''), $now);
        $this->sync($now);
    }

    public function forget(): void
    {
        $state = ($this->state)();
        $state->delete(self::HEAD);
        $state->delete(self::BODY);
        $this->cache->delete(self::POINTER);
        $this->dropFiles('');
        [$this->bundle, $this->hash, $this->checkedAt, $this->syncedAt] = [null, '', 0, 0];
    }

    private function isRecent(int $now): bool
    {
        return $now - $this->syncedAt < self::SYNC_S && $now >= $this->syncedAt - self::SYNC_S;
    }

    private function readPointer(): void
    {
        $fields = explode(' ', (string)$this->cache->read(self::POINTER));
        if (count($fields) !== 3 || (int)$fields[2] <= $this->syncedAt) {
            return;
        }
        if ($fields[0] !== $this->hash || $this->bundle === null) {
            $this->bundle = $fields[0] === '-' ? null : $this->loadFile($fields[0]);
        }
        $this->hash = $fields[0] === '-' ? '' : $fields[0];
        $this->checkedAt = (int)$fields[1];
        $this->syncedAt = (int)$fields[2];
    }

    private function sync(int $now): void
    {
        $state = ($this->state)();
        $head = $state->readArray(self::HEAD);
        $hash = (string)($head['hash'] ?? '');
        if ($hash !== $this->hash || ($hash !== '' && $this->bundle === null)) {
            $this->bundle = $this->adopt((string)($state->read(self::BODY)['value'] ?? ''), $hash);
        }
        $this->hash = $hash;
        $this->checkedAt = (int)($head['checked_at'] ?? 0);
        $this->syncedAt = $now;
        $this->justSynced = true;
        $this->cache->write(self::POINTER, ($hash === '' ? '-' : $hash) . ' ' . $this->checkedAt . ' ' . $now);
    }

    private function adopt(string $body, string $hash): ?Bundle
    {
        if ($hash === '' || self::hashOf($body) !== $hash) {
            return null; // Another process is between its two writes; the next look will see both.
        }
        $data = json_decode($body, true);
        if (!is_array($data)) {
            return null;
        }
        if ($this->cache->write(self::fileOf($hash), "<?php\n\nreturn " . var_export($data, true) . ";\n")) {
            $this->dropFiles($hash);
        }
        return new Bundle($data);
    }

    private function loadFile(string $hash): ?Bundle
    {
        if (!is_file($this->cache->path(self::fileOf($hash)))) {
            return null;
        }
        $data = include $this->cache->path(self::fileOf($hash));
        return is_array($data) ? new Bundle($data) : null;
    }

    private function dropFiles(string $keep): void
    {
        foreach ($this->cache->names('bundle-*.php') as $name) {
            if ($name !== self::fileOf($keep)) {
                $this->cache->delete($name);
            }
        }
    }

    private function writeHead(State $state, string $etag, string $hash, int $now): void
    {
        $state->writeArray(self::HEAD, ['etag' => $etag, 'hash' => $hash, 'checked_at' => $now], $now);
    }

    private static function fileOf(string $hash): string
    {
        return 'bundle-' . preg_replace('/[^0-9a-f]/', '', $hash) . '.php';
    }

    private static function hashOf(string $body): string
    {
        return substr(hash('sha256', $body), 0, 24);
    }
}
