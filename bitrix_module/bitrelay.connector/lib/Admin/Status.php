<?php

// Promises: how things stand, in a few rows: connected since, last taken, what waits, how old the bundle is.
// Leans on: the shared state and the outbox table.
// Must never: talk to the relay; this is what the page shows on every look.

declare(strict_types=1);

namespace Bitrelay\Connector\Admin;

use Bitrelay\Connector\Module;
use Bitrelay\Connector\Wiring;
use Bitrix\Main\Config\Option;

final class Status
{
    /** @return array<string, string> message key => value to show */
    public static function rows(Wiring $wiring, int $now): array
    {
        $depth = $wiring->outbox()->depth();
        $last = $wiring->state()->read('last_taken');
        $backoff = $wiring->backoff()->status();
        $bundle = $wiring->bundles()->current($now);
        $since = (int)Option::get(Module::ID, 'connected_at', '0', '');
        $rows = [
            'BITRELAY_STATUS_SINCE' => self::moment($since),
            'BITRELAY_STATUS_LAST' => self::moment($last['updated_at'] ?? 0),
            'BITRELAY_STATUS_WAITING' => (string)$depth['waiting'],
            'BITRELAY_STATUS_OLDEST' => self::moment($depth['oldest_at']),
            'BITRELAY_STATUS_HELD' => $depth['held'] . ($depth['held'] > 0 ? ' (' . $depth['held_error'] . ')' : ''),
            'BITRELAY_STATUS_BUNDLE' => $bundle === null ? '–' : self::moment($wiring->bundles()->checkedAt()),
            'BITRELAY_STATUS_BUNDLE_ENDS' => $bundle === null ? '–' : self::moment($bundle->expires()),
        ];
        if ($backoff['failures'] > 0) {
            $rows['BITRELAY_STATUS_TROUBLE'] = $backoff['trouble'];
            $rows['BITRELAY_STATUS_NEXT_TRY'] = self::moment($backoff['until']);
        }
        return $rows;
    }

    private static function moment(int $at): string
    {
        return $at > 0 ? date('Y-m-d H:i:s', $at) : '–';
    }
}
