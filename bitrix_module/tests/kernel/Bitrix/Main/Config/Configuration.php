<?php

// Promises: what .settings.php would hold.
// Leans on: the stub's settings.
// Must never: be written by the module.

declare(strict_types=1);


namespace Bitrix\Main\Config;

class Configuration
{
    /** @var array<string, mixed> */
    public static array $values = [];

    public static function getValue($name)
    {
        return self::$values[$name] ?? null;
    }
}
