<?php

// Promises: carries the outbox to the relay, oldest first, one courier at a time in the whole portal.
// Leans on: a database lock, the shared back-off, and the relay storing an item id once.
// Must never: delete before the relay has answered, try during the back-off, or let one bad item stop the rest.

declare(strict_types=1);

namespace Bitrelay\Connector\Outbox;

use Bitrelay\Connector\Relay\Backoff;
use Bitrelay\Connector\Relay\RelayAnswer;
use Bitrelay\Connector\Relay\RelayClient;
use Bitrelay\Connector\Portal\State;
use Bitrix\Main\DB\Connection;

final class Courier
{
    private const LOCK = 'bitrelay_courier';
    private const BATCH_ITEMS = 100;
    private const BATCH_BYTES = 524288;
    private const PACE_US = 20000;
    /** So many refusals in a row are not the items' fault, whatever the relay says. */
    private const HOLD_MOST = 5;
    /** Refusals of the portal or of the moment, not of an item. */
    private const NOT_THE_ITEM = '/client|verification|auth|denied|grant|limit|throttl|payment|unavailable|internal|not_found/i';

    /** @param \Closure(): GivenAuth $givenAuth */
    public function __construct(
        private readonly Outbox $outbox,
        private readonly RelayClient $client,
        private readonly Backoff $backoff,
        private readonly State $state,
        private readonly Connection $connection,
        private readonly \Closure $givenAuth,
        private readonly Backoff $cloudBackoff,
    ) {
    }

    /** @return int how many items the relay took */
    public function run(int $budgetS): int
    {
        if (!$this->backoff->allows(time()) || !$this->connection->lock(self::LOCK, 0)) {
            return 0;
        }
        try {
            return $this->carry(microtime(true) + $budgetS);
        } finally {
            $this->connection->unlock(self::LOCK);
        }
    }

    private function carry(float $until): int
    {
        $taken = 0;
        $refused = 0;
        $most = self::BATCH_ITEMS;
        while (microtime(true) < $until && ($batch = $this->outbox->oldest($most, self::BATCH_BYTES)) !== []) {
            [$batch, $body] = $this->body($batch);
            if ($batch === []) {
                break;
            }
            $answer = $this->client->callWithBody('rest.event.call', $body);
            if ($answer->succeeded()) {
                $this->outbox->taken($batch);
                $taken += count($batch);
                $refused = 0;
                $most = min(self::BATCH_ITEMS, $most * 2);
                usleep(self::PACE_US);
                continue;
            }
            if (!self::blamesItems($answer) || $refused >= self::HOLD_MOST) {
                $this->backoff->failed(time(), $answer->trouble());
                return $this->noted($taken);
            }
            if (count($batch) > 1) {
                $most = intdiv(count($batch), 2);
                continue;
            }
            $this->outbox->hold($batch[0], $answer->trouble());
            $refused++;
        }
        if ($taken > 0) {
            $this->backoff->succeeded(time());
        }
        return $this->noted($taken);
    }

    /**
     * Give each item its index and its auth block. Items after one that cannot be finished now wait with it.
     *
     * @param list<Item> $items
     * @return array{0: list<Item>, 1: string}
     */
    private function body(array $items): array
    {
        $parts = [];
        foreach ($items as $index => $item) {
            $auth = $item->needsAuth() ? $this->authFor($item) : [];
            if ($auth === null) {
                break;
            }
            $parts[] = $item->body($index, $auth);
        }
        return [array_slice($items, 0, count($parts)), implode('&', $parts)];
    }

    /** @return array<string, mixed>|null null when the cloud cannot be asked now */
    private function authFor(Item $item): ?array
    {
        if (!$this->cloudBackoff->allows(time())) {
            return null;
        }
        $auth = ($this->givenAuth)()->block($item);
        if ($auth === null) {
            $this->cloudBackoff->failed(time(), 'the cloud gave no token');
        } else {
            $this->cloudBackoff->succeeded(time());
        }
        return $auth;
    }

    /** A refusal in JSON that is about what was sent, so that halving the batch will find the culprit. */
    private static function blamesItems(RelayAnswer $answer): bool
    {
        return $answer->arrived() && $answer->error() !== '' && preg_match(self::NOT_THE_ITEM, $answer->error()) !== 1;
    }

    private function noted(int $taken): int
    {
        if ($taken > 0) {
            $this->state->write('last_taken', (string)$taken, time());
        }
        return $taken;
    }
}
