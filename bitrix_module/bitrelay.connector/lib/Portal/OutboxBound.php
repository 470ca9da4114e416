<?php

// Promises: the outbox does not grow past its bound, and an administrator hears of it long before.
// Leans on: the shared state; the table is counted at most once in COUNT_EVERY_S in the whole portal.
// Must never: drop what is stored; at the bound new events go the stock way instead.

declare(strict_types=1);

namespace Bitrelay\Connector\Portal;

use Bitrelay\Connector\Outbox\Outbox;

final class OutboxBound
{
    private const NAME = 'outbox_depth';
    private const COUNT_EVERY_S = 60;

    public function __construct(
        private readonly State $state,
        private readonly Outbox $outbox,
        private readonly int $limit,
        private readonly int $warnPercent,
    ) {
    }

    public function hasRoom(int $now): bool
    {
        $known = $this->state->read(self::NAME);
        $age = $known === null ? null : $now - $known['updated_at'];
        // Near the bound look again each time, so that it opens as soon as the relay has taken something.
        $near = $known !== null && (int)$known['value'] * 10 >= $this->limit * 9;
        $rows = $age === null || $age < 0 || $age >= self::COUNT_EVERY_S || $near
            ? $this->count($now)
            : (int)$known['value'];
        return $rows < $this->limit;
    }

    public function count(int $now): int
    {
        $depth = $this->outbox->depth();
        $rows = $depth['waiting'] + $depth['held'];
        $this->state->write(self::NAME, (string)$rows, $now);
        return $rows;
    }

    public function shouldWarn(int $rows): bool
    {
        return $rows * 100 >= $this->limit * $this->warnPercent;
    }
}
