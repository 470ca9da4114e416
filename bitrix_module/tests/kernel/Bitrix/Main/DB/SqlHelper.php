<?php

// Promises: escapes a text for a literal.
// Leans on: the driver.
// Must never: add quotes.

declare(strict_types=1);


namespace Bitrix\Main\DB;

class SqlHelper
{
    /** @param \Closure(string): string $escape */
    public function __construct(private readonly \Closure $escape)
    {
    }

    public function forSql($value, $maxLength = 0)
    {
        $value = (string)$value;
        return ($this->escape)($maxLength > 0 ? mb_substr($value, 0, $maxLength) : $value);
    }

    public function convertToDbString($value, $length = null)
    {
        return "'" . $this->forSql($value, (int)$length) . "'";
    }
}
