<?php

// Promises: the loop counter of events: a fresh one is 7.
// Leans on: nothing.
// Must never: go below nought.

declare(strict_types=1);


namespace Bitrix\Rest\Event;

class Session
{
    public const PARAM_SESSION = 'EVENT_SESSION';

    public static int $next = 7;

    public static function get()
    {
        return self::$next;
    }
}
