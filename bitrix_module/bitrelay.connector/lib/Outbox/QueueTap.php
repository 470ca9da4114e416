<?php

// Promises: takes events out of the stock sender's queue before anything can lose them, and can put them back.
// Leans on: Sender::$queryData and $forkSet being protected static (kernel: rest/lib/event/sender.php).
// Must never: be instantiated, send anything, or leave an event in neither place.

declare(strict_types=1);

namespace Bitrelay\Connector\Outbox;

use Bitrix\Main\Application;
use Bitrix\Rest\Event\Sender;

final class QueueTap extends Sender
{
    public static function isEmpty(): bool
    {
        return self::$queryData === [];
    }

    /**
     * @param callable(array<string, mixed>): bool $wanted
     * @return list<array<string, mixed>>
     */
    public static function take(callable $wanted): array
    {
        [$taken, $left] = [[], []];
        foreach (self::$queryData as $item) {
            if (is_array($item) && $wanted($item)) {
                $taken[] = $item;
            } else {
                $left[] = $item;
            }
        }
        self::$queryData = $left;
        if ($left === []) {
            // The queued job may find nothing and never clear this; a later event must queue a new one.
            self::setQueued(false);
        }
        return $taken;
    }

    /** @param list<array<string, mixed>> $items */
    public static function giveBack(array $items): void
    {
        if ($items === []) {
            return;
        }
        self::$queryData = array_merge($items, self::$queryData);
        $application = Application::getInstance();
        $application->addBackgroundJob([Sender::class, 'send'], [], $application::JOB_PRIORITY_LOW);
        self::setQueued(true);
    }

    private static function setQueued(bool $queued): void
    {
        if (property_exists(Sender::class, 'forkSet')) {
            self::$forkSet = $queued;
        }
    }
}
