<?php

// Promises: an event handler's result.
// Leans on: nothing.
// Must never: be required of a handler.

declare(strict_types=1);


namespace Bitrix\Main;

class EventResult
{
    public const SUCCESS = 1;

    public function __construct(protected int $type = self::SUCCESS)
    {
    }
}
