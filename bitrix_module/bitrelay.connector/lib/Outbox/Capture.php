<?php

// Promises: events become rows of the outbox as early as the settings allow, in one insert per hit.
// Leans on: QueueTap for the stock queue, Outbox for the table, Courier for sending after the answer.
// Must never: throw into the portal's code, or take an event without having stored it.

declare(strict_types=1);

namespace Bitrelay\Connector\Outbox;

use Bitrix\Main\Application;

final class Capture
{
    private bool $courierQueued = false;

    /**
     * @param \Closure(): Outbox $outbox on the module's own connection
     * @param \Closure(): Outbox $sameTransaction on the portal's connection
     * @param \Closure(): Courier $courier
     * @param \Closure(): bool $hasRoom
     */
    public function __construct(
        private readonly Routing $routing,
        private readonly \Closure $outbox,
        private readonly \Closure $sameTransaction,
        private readonly \Closure $courier,
        private readonly \Closure $hasRoom,
        private readonly int $courierBudgetS,
    ) {
    }

    /** Empty the stock queue into the outbox; what cannot be stored stays in the queue. */
    public function drain(bool $insideTransaction = false): void
    {
        if (QueueTap::isEmpty()) {
            return;
        }
        $taken = QueueTap::take($this->routing->isRelays(...));
        if ($taken === []) {
            return;
        }
        if (!$this->store($taken, $insideTransaction)) {
            QueueTap::giveBack($taken);
            return;
        }
        self::finishUsageStatistics();
        $this->queueCourier();
    }

    /**
     * @param list<array<string, mixed>> $queryItems
     * @return bool false when they are not stored: the caller still has them
     */
    public function store(array $queryItems, bool $insideTransaction = false): bool
    {
        try {
            if (!($this->hasRoom)()) {
                return false;
            }
            $items = array_map($this->item(...), $queryItems);
            ($insideTransaction ? $this->sameTransaction : $this->outbox)()->add($items, time());
            return true;
        } catch (\Throwable) {
            return false;
        }
    }

    /** Send what waits once the visitor has the answer. */
    public function queueCourier(): void
    {
        if ($this->courierQueued) {
            return;
        }
        $this->courierQueued = true;
        $application = Application::getInstance();
        $application->addBackgroundJob(function (): void {
            $this->courierQueued = false;
            $this->runCourier();
        }, [], $application::JOB_PRIORITY_LOW);
    }

    public function runCourier(): void
    {
        try {
            ($this->courier)()->run($this->courierBudgetS);
        } catch (\Throwable) {
            // The rows are safe; the agent or a later hit sends them.
        }
    }

    /** @param array<string, mixed> $queryItem */
    private function item(array $queryItem): Item
    {
        return $this->routing->authIsGiven()
            ? Item::captureForGivenAuth($queryItem, (string)\CRestUtil::getEndpoint())
            : Item::capture($queryItem);
    }

    /** Sender::send would have done this, had it found anything in the queue. */
    private static function finishUsageStatistics(): void
    {
        try {
            if (method_exists(\Bitrix\Rest\UsageStatTable::class, 'finalize')) {
                \Bitrix\Rest\UsageStatTable::finalize();
            }
        } catch (\Throwable) {
            // Statistics are not worth an event.
        }
    }
}
