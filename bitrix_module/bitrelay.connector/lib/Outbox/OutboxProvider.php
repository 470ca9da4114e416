<?php

// Promises: the second net: events that reach the stock sender's job go into the outbox all the same.
// Leans on: Capture; the stock provider for everything that is not the relay's or cannot be stored.
// Must never: throw, for that would wedge the process's event queue.

declare(strict_types=1);

namespace Bitrelay\Connector\Outbox;

use Bitrix\Rest\Event\ProviderInterface;

final class OutboxProvider implements ProviderInterface
{
    /** @param \Closure(): ProviderInterface $stock */
    public function __construct(
        private readonly Capture $capture,
        private readonly Routing $routing,
        private readonly \Closure $stock,
    ) {
    }

    public function send(array $queryData)
    {
        try {
            [$ours, $rest] = $this->routing->split($queryData);
            $stored = $ours !== [] && $this->capture->store($ours);
            if ($ours !== [] && !$stored) {
                $rest = $queryData;
            }
            if ($rest !== []) {
                ($this->stock)()->send($rest);
            }
            if ($stored) {
                $this->capture->runCourier();
            }
        } catch (\Throwable) {
            // Nothing above throws on purpose; a bug here must not stop later events.
        }
    }
}
