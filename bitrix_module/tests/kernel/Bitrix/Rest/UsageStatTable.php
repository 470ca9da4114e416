<?php

// Promises: counts that the stock sender flushes when it sends.
// Leans on: nothing.
// Must never: matter.

declare(strict_types=1);


namespace Bitrix\Rest;

class UsageStatTable
{
    public static int $finalized = 0;

    public static function finalize()
    {
        self::$finalized++;
    }
}
