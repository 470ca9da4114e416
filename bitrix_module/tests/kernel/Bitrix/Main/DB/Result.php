<?php

// Promises: rows as arrays with upper-case names, false at the end.
// Leans on: an iterator of the driver's rows.
// Must never: rewind.

declare(strict_types=1);


namespace Bitrix\Main\DB;

class Result
{
    /** @param \Closure(): mixed $next */
    public function __construct(private readonly \Closure $next)
    {
    }

    public function fetch()
    {
        $row = ($this->next)();
        return is_array($row) ? array_change_key_case($row, CASE_UPPER) : false;
    }

    public function fetchAll()
    {
        $rows = [];
        while (($row = $this->fetch()) !== false) {
            $rows[] = $row;
        }
        return $rows;
    }
}
