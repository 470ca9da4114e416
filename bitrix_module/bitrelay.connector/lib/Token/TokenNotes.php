<?php

// Promises: what this node remembers of a relay token: a short note of the relay's word, and confirmations.
// Leans on: the stock storage for the content (method confirmation writes there), a mark file to know of it.
// Must never: keep the relay's word longer than asked, or a token in the clear in a file name.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

use Bitrelay\Connector\Portal\NodeCache;

final class TokenNotes
{
    private const NOTED_AT = 'bitrelay_at';

    public function __construct(private readonly NodeCache $cache)
    {
    }

    /**
     * The noted word about a token, while it is young enough.
     *
     * @return array<string, mixed>|null
     */
    public function recall(mixed $stored, int $mostS, int $now): ?array
    {
        if (!is_array($stored) || !self::isNote($stored)) {
            return null;
        }
        $age = $now - (int)$stored[self::NOTED_AT];
        unset($stored[self::NOTED_AT]);
        return $age >= 0 && $age < $mostS ? $stored : null;
    }

    /**
     * @param array<string, mixed> $info
     * @return array<string, mixed> to be written to the stock storage
     */
    public function note(array $info, mixed $stored, int $now): array
    {
        $kept = !isset($info['error']) && $this->isRewritten((string)$info['access_token'])
            ? self::overlay($info, $stored)
            : $info;
        return [self::NOTED_AT => $now] + $kept;
    }

    /** @param array<mixed> $stored */
    public static function isNote(array $stored): bool
    {
        return isset($stored[self::NOTED_AT]);
    }

    public function markRewritten(string $token): void
    {
        $this->cache->write($this->mark($token), '');
    }

    public function isRewritten(string $token): bool
    {
        return is_file($this->cache->path($this->mark($token)));
    }

    /**
     * Lay the parameters of the stock storage (a granted method confirmation) over fresh token info.
     *
     * @param array<string, mixed> $info
     * @return array<string, mixed>
     */
    public static function overlay(array $info, mixed $stored): array
    {
        if (is_array($stored) && !isset($stored['error']) && is_array($stored['parameters'] ?? null)) {
            $info['parameters'] = array_replace_recursive((array)$info['parameters'], $stored['parameters']);
        }
        return $info;
    }

    /** Marks whose token has long expired, removed a few at a time. */
    public function tidy(int $now): void
    {
        foreach (array_slice($this->cache->names('confirmed/*'), 0, 500) as $name) {
            if ($now - $this->cache->markedAt('confirmed/' . $name) > 86400) {
                $this->cache->delete('confirmed/' . $name);
            }
        }
    }

    private function mark(string $token): string
    {
        return 'confirmed/' . hash('sha256', $token);
    }
}
