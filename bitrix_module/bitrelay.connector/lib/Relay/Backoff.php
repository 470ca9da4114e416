<?php

// Promises: after a failed call nobody tries again for a while, and the while grows to a limit.
// Leans on: the shared state, so that every process and node keeps the same silence.
// Must never: close for good; when the time is up the next caller tries.

declare(strict_types=1);

namespace Bitrelay\Connector\Relay;

use Bitrelay\Connector\Portal\State;

final class Backoff
{
    public const RELAY = 'backoff';
    public const CLOUD = 'backoff_cloud';

    public function __construct(
        private readonly State $state,
        private readonly int $leastS,
        private readonly int $mostS,
        private readonly string $name = self::RELAY,
    ) {
    }

    public function allows(int $now): bool
    {
        $until = (int)($this->state->readArray($this->name)['until'] ?? 0);
        // A clock set back must not silence the portal for longer than a full pause.
        return $now >= $until || $until > $now + $this->mostS * 2;
    }

    public function failed(int $now, string $trouble): void
    {
        $before = $this->state->readArray($this->name);
        $failures = (int)($before['failures'] ?? 0) + 1;
        $this->state->writeArray($this->name, [
            'failures' => $failures,
            'until' => $now + self::pauseS($failures, $this->leastS, $this->mostS),
            'since' => (int)($before['since'] ?? $now) ?: $now,
            'trouble' => $trouble,
        ], $now);
    }

    public function succeeded(int $now): void
    {
        if ((int)($this->state->readArray($this->name)['failures'] ?? 0) > 0) {
            $this->state->writeArray($this->name, ['failures' => 0, 'until' => 0], $now);
        }
    }

    /** @return array{failures: int, until: int, since: int, trouble: string} */
    public function status(): array
    {
        $state = $this->state->readArray($this->name);
        return [
            'failures' => (int)($state['failures'] ?? 0),
            'until' => (int)($state['until'] ?? 0),
            'since' => (int)($state['since'] ?? 0),
            'trouble' => (string)($state['trouble'] ?? ''),
        ];
    }

    /** Seconds of silence after the n-th failure in a row: doubled each time, never above the limit. */
    public static function pauseS(int $failures, int $leastS, int $mostS): int
    {
        return (int)min(max($leastS, $mostS), $leastS * 2 ** min(20, max(0, $failures - 1)));
    }
}
